"""The floor that the gateway is compared with: uvicorn and aiohttp, and nothing between them.

python benchmarks/support/passthrough.py PORT UPSTREAM

Several such processes can have the same port.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

import aiohttp
import uvicorn

UPSTREAM = sys.argv[2] if len(sys.argv) > 2 else ""


class Passthrough:
    """Forwards every request's body, and the answer's status and body."""

    session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.session is None:
            self.session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
            )
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {"content-type": "application/json"}
        async with self.session.post(UPSTREAM + scope["path"], data=body, headers=headers) as answer:
            if answer.content_type == "text/event-stream":
                await send({"type": "http.response.start", "status": answer.status, "headers": [EVENTS]})
                async for piece in answer.content.iter_any():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
                return
            data = await answer.read()
            length = (b"content-length", b"%d" % len(data))
            await send({"type": "http.response.start", "status": answer.status, "headers": [JSON, length]})
            await send({"type": "http.response.body", "body": data})


JSON = (b"content-type", b"application/json")
EVENTS = (b"content-type", b"text/event-stream")

if __name__ == "__main__":
    config = uvicorn.Config(
        Passthrough(), loop="uvloop", http="httptools", access_log=False, log_level="warning", lifespan="off"
    )
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind(("127.0.0.1", int(sys.argv[1])))
        uvicorn.Server(config).run(sockets=[listening])
