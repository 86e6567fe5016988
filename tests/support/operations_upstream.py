"""An upstream on loopback that answers the operations beside text in real shapes, and keeps what it was sent."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

Handle = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]


@dataclass
class Sent:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Upstream:
    """`handle` answers; `sent` are the requests as they came."""

    base_url: str = ""
    handle: Handle | None = None
    sent: list[Sent] = field(default_factory=list)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.sent.append(Sent(request.path, headers, body))
        assert self.handle is not None
        return await self.handle(request, body)

    def replies(self, body: bytes, content_type: str = "application/json", status: int = 200) -> None:
        """Answers everything with these bytes."""

        async def handle(request: web.Request, sent: bytes) -> web.StreamResponse:
            return web.Response(body=body, status=status, headers={"content-type": content_type})

        self.handle = handle

    def streams(self, *pieces: bytes, content_type: str, cut: bool = False) -> None:
        """Answers everything with these pieces; `cut` breaks the connection off after the last."""

        async def handle(request: web.Request, sent: bytes) -> web.StreamResponse:
            response = web.StreamResponse(headers={"content-type": content_type})
            await response.prepare(request)
            for piece in pieces:
                await response.write(piece)
            if cut:
                assert request.transport is not None
                request.transport.abort()
                return response
            await response.write_eof()
            return response

        self.handle = handle


@asynccontextmanager
async def operations_upstream() -> AsyncIterator[Upstream]:
    upstream = Upstream()
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", upstream.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    upstream.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield upstream
    finally:
        await runner.cleanup()


def dumped(value: object) -> bytes:
    """JSON with spaces, as no encoder of ours would write it: what arrives so was not written again."""
    return json.dumps(value, indent=2).encode()
