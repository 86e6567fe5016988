"""What no client sends by accident: every route refuses it in words, and none fails inside."""

import http.client
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.real_gateway import RealGateway

BODIES = {
    "nothing": b"",
    "half of JSON": b'{"model": "big", "messages": [{"role": "us',
    "no UTF-8": b'{"model": "big\xff\xfe", "input": "\xc3\x28"}',
    "half a character": b'{"model": "\\ud800", "input": "\\udfff", "name": "\\ud83d", "prompt": "\\ud800"}',
    "NUL": b'{"model": "big\\u0000", "input": "\\u0000", "name": "\\u0000", "id": "\\u0000", "query": "\\u0000"}',
    "NUL bytes": b"\x00" * 300,
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"messages":' * 20_000 + b"1" + b"}" * 20_000,
    "deep inside": b'{"model": "big", "messages": [{"role": "user", "content": '
    + b"[" * 5_000
    + b"]" * 5_000
    + b"}]}",
    "a huge number": b'{"model": "big", "max_tokens": ' + b"9" * 5_000 + b', "limit": 1e999, "n": -1e308}',
    "a number as all": b"9" * 5_000,
    "a list": b"[1, 2, 3]",
    "null": b"null",
    "text": b'"text"',
    "the same field twice": b'{"model": "big", "model": "claude", "input": "a", "input": ["b"]}',
    "fields of objects": b'{"__proto__": {"a": 1}, "__class__": "x", "constructor": 2, "model": {"$ref": "#"}}',
}
PARTS = [
    "%00",
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e",
    "%ff%fe",
    "a%0d%0ax-injected:%201",
    "9" * 5_000,
    "%",
    "%zz",
    "'--",
]
QUERIES = [
    "%",
    "limit=%00",
    "limit=" + "9" * 5_000,
    "limit=-1",
    "limit=1e9",
    "limit[]=1",
    "a=b&a=c&=&&",
    "q=%ff",
    "q=" + "x" * 9_000,
    "cursor=%00",
    "offset=99999999999999999999",
    "until=0001-01-01T00:00:01Z",
    "since=9999-12-31T23:59:59-14:00",
    "q=gate&generation=" + "9" * 30,
    "q=gate&generation=-1",
    "since=9999-12-31T23:59:59Z&until=0001-01-01T00:00:00Z",
]


class Talk:
    """Sends paths and bodies as they are, over one connection."""

    def __init__(self, gateway: RealGateway) -> None:
        self._address = urlsplit(gateway.url).netloc
        self._connection = http.client.HTTPConnection(self._address, timeout=30)
        self.said: list[str] = []

    def ask(self, what: str, method: str, target: str, body: bytes | None = None, kind: str = "") -> None:
        headers = {"content-type": kind} if kind else {}
        self._connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in headers.items():
            self._connection.putheader(name, value)
        if body is not None:
            self._connection.putheader("content-length", str(len(body)))
        self._connection.endheaders(body)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 500 or answer.headers.get("x-injected"):
            self.said.append(f"{method} {target[:200]} with {what}: {answer.status} {content[:200]!r}")


def routes(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield method.upper(), path, operation


@pytest.fixture(scope="module")
def document(local_gateway: RealGateway) -> dict[str, Any]:
    found: dict[str, Any] = local_gateway.ask("GET", "/api/v1/openapi.json")
    return found


def filled(path: str, value: str) -> str:
    pieces = path.split("/")
    return "/".join(value if piece.startswith("{") else piece for piece in pieces)


def test_bodies(local_gateway: RealGateway, document: dict[str, Any]) -> None:
    talk, tried = Talk(local_gateway), 0
    for method, path, operation in routes(document):
        for kind in operation.get("requestBody", {}).get("content", ()):
            declared = f"{kind}; boundary=xx" if kind == "multipart/form-data" else kind
            for what, body in BODIES.items():
                talk.ask(what, method, filled(path, "x"), body, declared)
                tried += 1
    assert talk.said == []
    assert tried > 300
    assert "Traceback" not in local_gateway.log.read_text()


def test_forms(local_gateway: RealGateway) -> None:
    part = b'--xx\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    forms = {
        "no end": part % (b"model", b"big"),
        "a name of nothing": part % (b"", b"big") + b"--xx--\r\n",
        "no UTF-8": part % (b"model", b"\xff\xfe") + b"--xx--\r\n",
        "NUL": part % (b"model\x00", b"\x00") + b"--xx--\r\n",
        "the same field often": part % (b"model", b"big") * 2_000 + b"--xx--\r\n",
        "a file name with a path": b'--xx\r\nContent-Disposition: form-data; name="file"; '
        b'filename="../../../etc/passwd\\"\r\n\r\nabc\r\n' + part % (b"model", b"big") + b"--xx--\r\n",
        "long headers": b"--xx\r\nX: " + b"y" * 100_000 + b"\r\n\r\n\r\n--xx--\r\n",
    }
    talk = Talk(local_gateway)
    for path in ("/v1/audio/transcriptions", "/v1/images/edits", "/v1/images/variations", "/v1/audio/translations"):
        for what, body in forms.items():
            for kind in (
                "multipart/form-data; boundary=xx",
                "multipart/form-data",
                'multipart/form-data; boundary=""',
            ):
                talk.ask(what, "POST", path, body, kind)
    assert talk.said == []


def test_paths(local_gateway: RealGateway, document: dict[str, Any]) -> None:
    talk, tried = Talk(local_gateway), 0
    for method, path, operation in routes(document):
        if "{" not in path:
            continue
        kinds = list(operation.get("requestBody", {}).get("content", ()))
        for value in PARTS:
            body = b"{}" if kinds else None
            talk.ask("a part", method, filled(path, value), body, kinds[0] if kinds else "")
            tried += 1
    for page in ("/traces/", "/knowledge/", "/knowledge/docs/", "/static/x/"):
        for value in PARTS:
            talk.ask("a part", "GET", page + value)
    assert talk.said == []
    assert tried > 100
    assert "root:" not in local_gateway.log.read_text()


def test_queries(local_gateway: RealGateway, document: dict[str, Any]) -> None:
    talk = Talk(local_gateway)
    pages = ["/", "/traces", "/knowledge", "/knowledge/docs", "/signin", "/metrics"]
    paths = [path for method, path, _ in routes(document) if method == "GET"]
    for path in (*paths, *pages):
        for query in QUERIES:
            talk.ask("a query", "GET", f"{filled(path, 'docs')}?{query}")
    assert talk.said == []
    assert "Traceback" not in local_gateway.log.read_text()
