"""A web site on loopback, whose pages a test writes and which notes what it was asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from support.loopback import serving


@dataclass
class Page:
    """What is sent for one path."""

    body: bytes | str = b""
    status: int = 200
    type: str = "text/html; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def data(self) -> bytes:
        return self.body.encode() if isinstance(self.body, str) else self.body


class Website:
    """`pages` by path; `asked` are the paths of all requests, `conditions` those of conditional ones."""

    def __init__(self) -> None:
        self.pages: dict[str, Page | str] = {}
        self.asked: list[str] = []
        self.conditional: list[str] = []
        self.cookies: list[str] = []
        self.agents: set[str] = set()
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path_qs
        self.asked.append(path)
        self.agents.add(request.headers.get("User-Agent", ""))
        self.cookies.append(request.headers.get("Cookie", ""))
        page = self.pages.get(path)
        if page is None:
            return web.Response(status=404, text="not here")
        if isinstance(page, str):
            page = Page(page)
        headers = dict(page.headers)
        if "ETag" in headers and request.headers.get("If-None-Match") == headers["ETag"]:
            self.conditional.append(path)
            return web.Response(status=304)
        headers["Content-Type"] = page.type
        headers.setdefault("Set-Cookie", "session=1")
        return web.Response(status=page.status, body=page.data, headers=headers)


@asynccontextmanager
async def website() -> AsyncIterator[Website]:
    site = Website()
    async with serving(site.answer) as site.url:
        yield site
