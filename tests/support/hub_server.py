"""A model hub on loopback: files with ranges and ETags, a second host to redirect to, and ways to misbehave."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

PIECE = 1 << 14


@dataclass
class Hub:
    """Set `files` by the path after the host; then look at `requests` to see what was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    etags: bool = True
    token: str = ""
    cut_after: list[int] = field(default_factory=list)
    """For each answer to come: the bytes after which the connection is dropped."""
    statuses: list[int] = field(default_factory=list)
    """For each answer to come: an error to send instead."""
    redirect_to: str = ""
    """Another hub's address that large files are redirected to, as the real hub does."""
    linked_etag: str = ""
    before_piece: Callable[[int], None] = lambda sent: None
    """Called with the bytes sent so far before each piece of a body."""
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""

    def ranges(self) -> list[str]:
        return [headers.get("Range", "") for _, headers in self.requests]


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_GET(self) -> None:
        hub = self.hub
        path = unquote(self.path)
        hub.requests.append((path, dict(self.headers)))
        if hub.statuses and (status := hub.statuses.pop(0)):
            return self._empty(status)
        if hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
            return self._empty(401)
        if hub.redirect_to:
            return self._empty(302, {"Location": hub.redirect_to + self.path, "X-Linked-ETag": hub.linked_etag})
        body = hub.files.get(path)
        if body is None:
            return self._empty(404)
        self._send(body)

    def _send(self, body: bytes) -> None:
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        start = 0
        wanted = self.headers.get("Range")
        if wanted and self.headers.get("If-Range") in (None, etag):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                return self._empty(416, {"Content-Range": f"bytes */{len(body)}"})
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if self.hub.etags:
            self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = start + self.hub.cut_after.pop(0) if self.hub.cut_after else len(body)
        for at in range(start, min(end, len(body)), PIECE):
            self.hub.before_piece(at)
            self.wfile.write(body[at : min(at + PIECE, end)])
        self.close_connection = True

    def _empty(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def handle(self) -> None:
        try:
            super().handle()
        except (BrokenPipeError, ConnectionResetError):
            return

    def log_message(self, format: str, *args: object) -> None:
        return
