"""Keys, shown in every place where a client may put one, are in no database, log, figure or answer."""

import http.client
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit

import pytest
from support.real_gateway import UPSTREAM_KEY, RealGateway, real_gateway

from penstock.testing import Reply


@pytest.fixture
def gateway(tmp_path: Path, minilm_folder: Path) -> Iterator[RealGateway]:
    with real_gateway(tmp_path / "app") as it:
        it.make_key("owner", "owner")
        yield it


def test_keys_leave_no_trace(gateway: RealGateway) -> None:
    key = gateway.make_key("developer")
    chat = {"model": "big", "messages": [{"role": "user", "content": "Hi"}]}
    said = b""
    for path, body in {
        "/v1/chat/completions": chat,
        "/v1/completions": {"model": "any", "prompt": "Hi"},
        "/v1/embeddings": {"model": "any", "input": "Hi"},
        "/v1/messages": chat | {"model": "claude", "max_tokens": 5},
        "/v1/responses": {"model": "big", "input": "Hi"},
    }.items():
        said += gateway.send(path, body, key)
    # A provider that repeats the key that it was shown, as some do when they refuse it.
    refusal = b'{"error":{"message":"Incorrect API key provided: %s"}}' % UPSTREAM_KEY.encode()
    for _ in range(3):
        gateway.upstream.answers.append(Reply(status=401, body=refusal))
        with pytest.raises(HTTPError) as refused:
            gateway.send("/v1/chat/completions", chat, key)
        said += refused.value.read()
        gateway.upstream.answers.clear()
    talk = http.client.HTTPConnection(urlsplit(gateway.url).netloc, timeout=30)
    for headers in (
        {"x-api-key": key},
        {"api-key": key},
        {"cookie": f"penstock_session={key}; __Host-penstock_session={key}"},
        {"authorization": f"Basic {key}"},
        {"authorization": key},
        {"x-penstock-trace": key, "user-agent": key, "referer": f"http://x/{key}"},
    ):
        for target in ("/v1/models", f"/v1/models/x?key={key}&api_key={key}", f"/api/v1/traces?token={key}", "/"):
            talk.request("GET", target, headers=headers)
            said += talk.getresponse().read()
    metrics = gateway.send("/metrics", None, gateway.secrets["owner"], "GET")
    check(gateway, said + metrics, key)


def check(gateway: RealGateway, said: bytes, key: str) -> None:
    shown = [UPSTREAM_KEY, key, gateway.secrets["owner"]]
    files = [path for path in gateway.folder.rglob("*") if path.is_file()]
    assert {"traces.db", "access.db"} <= {path.name for path in files}, files
    for secret in shown:
        assert secret.encode() not in said
        for path in files:
            assert secret.encode() not in path.read_bytes(), f"{path.name} holds a key"
