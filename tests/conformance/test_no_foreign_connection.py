"""Nothing that a caller writes makes the server open a connection: it talks to what is configured and nobody else.

A socket listens where the requests point to, and an audit hook sees every connection and every look-up of a name
in this process, in which the server runs.
"""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio
from support.real_gateway import behave
from support.served_platform import Served, served

from penstock.testing import ProviderServer, Reply

METADATA = "http://169.254.169.254/latest/meta-data/iam/security-credentials/"
MODELS = {
    "openai": ("openai/gpt-4.1-mini", "/v1"),
    "azure": ("azure/gpt-4.1-mini", ""),
    "anthropic": ("anthropic/claude-haiku-4-5", "/v1"),
    "gemini": ("gemini/gemini-3-flash", "/v1beta"),
    "bedrock": ("bedrock/eu.anthropic.claude-haiku-4-5-20251001-v1:0", ""),
    "other": ("corp/any", "/v1"),
}
EVENTS = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")


class Connections:
    """Where this process connects to while `seen` is a list."""

    def __init__(self) -> None:
        self.seen: list[Any] | None = None
        sys.addaudithook(self._hook)  # it stays until the process ends

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.seen is not None and event in EVENTS:
            self.seen.append(arguments[:2] if event == "socket.getaddrinfo" else arguments[-1])


CONNECTIONS = Connections()


@pytest.fixture
def trap() -> Iterator[socket.socket]:
    """It listens, and nobody must come."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening
        with pytest.raises(BlockingIOError):
            listening.accept()


@pytest.fixture(params=["loopback", "metadata", "names"])
def address(request: pytest.FixtureRequest, trap: socket.socket) -> str:
    port = trap.getsockname()[1]
    return {
        "loopback": f"http://127.0.0.1:{port}/picture.png",
        "metadata": METADATA,
        "names": f"http://user:word@localhost:{port}/document.pdf?to=http://0.0.0.0:{port}#x",
    }[request.param]


@pytest_asyncio.fixture
async def upstream() -> AsyncIterator[ProviderServer]:
    async with ProviderServer(behave) as it:
        yield it


@pytest_asyncio.fixture
async def gateway(
    upstream: ProviderServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Served]:
    """Serves a model of every vendor; at the end, only it and its upstream were connected to."""
    monkeypatch.setenv("SECRET", "sk-upstream")
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, METADATA)
    lines = ["[app]", 'name = "docs"']
    for name, (use, path) in MODELS.items():
        region = 'region = "eu-central-1"' if name == "bedrock" else ""
        key = 'api_key = { env = "SECRET" }'
        lines += [f"[models.{name}]", f'use = "{use}"', f'base_url = "{upstream.url}{path}"', key, region]
    async with served(tmp_path, *lines) as it:
        CONNECTIONS.seen = seen = []
        try:
            yield it
        finally:
            CONNECTIONS.seen = None
        allowed = {("127.0.0.1", urlsplit(url).port) for url in (it.url, upstream.url)}
        assert ("127.0.0.1", urlsplit(upstream.url).port) in seen
        assert [each for each in seen if each not in allowed] == []


def chats(address: str) -> Iterator[dict[str, Any]]:
    def said(*parts: Any) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": [{"type": "text", "text": f"Read {address}"}, *parts]}]}

    yield said({"type": "image_url", "image_url": {"url": address}})
    yield said({"type": "image_url", "image_url": {"url": address, "detail": "high"}}) | {"stream": True}
    yield said({"type": "file", "file": {"file_url": address}})
    yield said({"type": "file", "file": {"file_data": address, "filename": address}})
    yield said({"type": "file", "file": {"file_id": address}})
    yield said({"type": "input_audio", "input_audio": {"data": address, "format": "wav"}})
    yield said({"type": "video_url", "video_url": {"url": address}})
    schema = {"type": "object", "$ref": address, "properties": {"a": {"$ref": address + "#/a"}}}
    formatted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    yield said() | {"response_format": formatted}
    yield said() | {"tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]}
    yield said() | {"tools": [{"type": "mcp", "server_url": address}], "web_search_options": {"url": address}}
    yield said() | places(address)


def places(address: str) -> dict[str, Any]:
    """What other gateways and clients know as ways to say where a model is."""
    names = ("base_url", "api_base", "api_key", "endpoint", "host", "url", "proxy", "webhook", "callback", "user")
    return dict.fromkeys(names, address) | {
        "headers": {"host": address},
        "extra_headers": {"x-forwarded-host": address},
        "extra_body": {"base_url": address},
        "fallbacks": [{"model": "x", "api_base": address}],
        "metadata": {"url": address},
    }


def messages(address: str) -> Iterator[dict[str, Any]]:
    def said(*blocks: Any) -> dict[str, Any]:
        text = {"type": "text", "text": f"Read {address}"}
        return {"max_tokens": 5, "messages": [{"role": "user", "content": [text, *blocks]}]}

    source = {"type": "url", "url": address}
    yield said({"type": "image", "source": source})
    yield said({"type": "document", "source": source, "title": address})
    yield said({"type": "document", "source": {"type": "file", "file_id": address}})
    yield said() | {"mcp_servers": [{"type": "url", "url": address, "name": "m"}]}
    yield said() | {"tools": [{"type": "web_fetch_20250910", "name": "web_fetch", "allowed_domains": [address]}]}
    yield said() | places(address)


def responses(address: str) -> Iterator[dict[str, Any]]:
    def said(*parts: Any) -> dict[str, Any]:
        text = {"type": "input_text", "text": f"Read {address}"}
        return {"input": [{"role": "user", "content": [text, *parts]}]}

    yield said({"type": "input_image", "image_url": address})
    yield said({"type": "input_file", "file_url": address})
    yield said({"type": "input_file", "file_id": address})
    yield said({"type": "input_file", "file_data": address, "filename": address})
    yield said() | {"tools": [{"type": "mcp", "server_url": address, "server_label": "m"}]}
    yield said() | {"tools": [{"type": "image_generation", "input_image_mask": {"image_url": address}}]}
    yield said() | {"previous_response_id": address}
    yield {"input": f"Read {address}", "prompt": {"id": address}} | places(address)


def others(address: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "/v1/completions", {"prompt": address} | places(address)
    yield "/v1/embeddings", {"input": [address], "encoding_format": "base64"} | places(address)
    yield "/v1/moderations", {"input": [{"type": "image_url", "image_url": {"url": address}}]}
    yield "/v1/images/generations", {"prompt": address, "image": address, "response_format": "url"}
    yield "/v1/audio/speech", {"input": address, "voice": address}
    yield "/v1/rerank", {"query": address, "documents": [address, {"image": address}]}


async def test_addresses_in_a_request_are_not_visited(gateway: Served, address: str) -> None:
    requests = [("/v1/chat/completions", body) for body in chats(address)]
    requests += [("/v1/messages", body) for body in messages(address)]
    requests += [("/v1/messages/count_tokens", body) for body in messages(address)]
    requests += [("/v1/responses", body) for body in responses(address)]
    requests += others(address)
    statuses = [await status(gateway, path, {"model": name} | body) for name in MODELS for path, body in requests]
    assert statuses.count(200) > 100
    assert max(statuses) < 500


async def status(gateway: Served, path: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> int:
    async with gateway.session.post(gateway.url + path, json=body, headers=headers) as response:
        await response.read()
        return response.status


async def test_a_name_of_a_model_is_no_address(gateway: Served, address: str) -> None:
    bare = address.removeprefix("http://")
    for name in (
        address,
        f"corp/any@{bare}",
        f"openai/{address}",
        f"other@{bare}",
        f"../{bare}",
        f"other?u={address}",
    ):
        body = {"model": name, "messages": [{"role": "user", "content": "Hi"}], "input": "Hi", "max_tokens": 5}
        for path in ("/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/embeddings"):
            assert await status(gateway, path, body) == 404, name
    assert await status(gateway, "/v1/embeddings", {"model": "other", "input": "Hi"}) == 200


async def test_no_header_and_no_form_of_a_request_is_an_address(gateway: Served, address: str) -> None:
    body = {"model": "other", "messages": [{"role": "user", "content": "Hi"}]}
    names = ("x-base-url", "x-upstream", "x-penstock-base-url", "openai-base-url", "helicone-target-url")
    routing = ("x-forwarded-host", "x-forwarded-server", "forwarded", "x-original-url", "x-rewrite-url", "referer")
    portkey = ("x-portkey-custom-host", "x-portkey-config", "x-portkey-provider", "cf-aig-authorization")
    for name in (*names, *routing, *portkey):
        assert await status(gateway, "/v1/chat/completions", body, {name: address}) == 200, name
    own = urlsplit(gateway.url)
    for line in (
        f"GET {address} HTTP/1.1",
        f"CONNECT {urlsplit(address).netloc} HTTP/1.1",
        f"GET /{address} HTTP/1.1",
    ):
        reader, writer = await asyncio.open_connection(own.hostname, own.port)
        writer.write(f"{line}\r\nHost: {own.netloc}\r\nConnection: close\r\n\r\n".encode())
        assert int((await reader.readline()).split()[1]) >= 400
        writer.close()


async def test_files_and_batches_hold_no_addresses(gateway: Served, address: str) -> None:
    for body in (
        {"input_file_id": address, "endpoint": "/v1/chat/completions", "completion_window": "24h"},
        {"input_file_id": "file-1", "endpoint": address, "completion_window": "24h"},
    ):
        assert 400 <= await status(gateway, "/v1/batches", body) < 500
    chat = {"model": "other", "messages": [{"role": "user", "content": "Hi"}]} | places(address)
    lines = [
        {"custom_id": "1", "method": "POST", "url": address, "body": chat},
        {"custom_id": "2", "method": "POST", "url": "/v1/chat/completions", "body": chat},
    ]
    form = aiohttp.FormData({"purpose": "batch"})
    form.add_field("file", "\n".join(map(json.dumps, lines)), filename=address)
    async with gateway.session.post(gateway.url + "/v1/files", data=form) as response:
        file = await response.json()
    wanted = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    _, batch = await gateway.ask("POST", "/v1/batches", wanted)
    while batch["status"] not in ("completed", "failed"):
        await asyncio.sleep(0.01)
        _, batch = await gateway.ask("GET", f"/v1/batches/{batch['id']}")
    assert batch["request_counts"]["completed"] == 1


async def test_an_upstream_sends_us_nowhere(gateway: Served, upstream: ProviderServer, address: str) -> None:
    body = {"model": "other", "messages": [{"role": "user", "content": "Hi"}]}
    for code in (301, 302, 303, 307, 308):
        upstream.answers += [Reply(status=code, body=b"", headers={"location": address})] * 5
        assert await status(gateway, "/v1/chat/completions", body) >= 400
        upstream.answers.clear()
    picture = {"created": 1, "data": [{"url": address}]}
    upstream.answers.append(Reply(body=json.dumps(picture).encode()))
    assert (await gateway.ask("POST", "/v1/images/generations", {"model": "other", "prompt": "A gate"}))[
        1
    ] == picture
