"""The console's own files, under addresses that change with their content.

Every address carries one digest over all files, so a module's relative imports stay within one version and a
browser may keep each file for good.
"""

from __future__ import annotations

import hashlib
import mimetypes
from pathlib import Path

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from penstock.access.routes import GuardedRoute

FOLDER = Path(__file__).parent / "static"
KEEP = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"
MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".txt": "text/plain"}


class Asset(Struct, frozen=True):
    """One file as it is sent."""

    content: bytes
    media_type: str
    etag: str


class Assets:
    """All files of a folder, in memory: they are few and small, and never change while the process runs."""

    def __init__(self, folder: Path) -> None:
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".md")
        self._assets = {path.relative_to(folder).as_posix(): load(path) for path in files}
        whole = hashlib.sha256()
        for name, asset in self._assets.items():
            whole.update(f"{name} {asset.etag}\n".encode())
        self.version = whole.hexdigest()[:12]

    def address(self, name: str) -> str:
        """Where a file is. Raises `KeyError` for one that does not exist."""
        if name not in self._assets:
            raise KeyError(f"the console has no file {name!r}")
        return f"/static/{self.version}/{name}"

    async def serve(self, request: Request) -> Response:
        """The file of an address; one of another version is answered with today's file, not to be kept."""
        return self.answer(request, request.path_params["name"], request.path_params["version"] == self.version)

    async def favicon(self, request: Request) -> Response:
        """For browsers that ask at the customary place without looking at the page."""
        return self.answer(request, "favicon.svg", keep=False)

    def answer(self, request: Request, name: str, keep: bool) -> Response:
        asset = self._assets.get(name)
        if asset is None:
            return Response("Not found", 404, media_type="text/plain")
        headers = {
            "ETag": asset.etag,
            "Cache-Control": KEEP if keep else ASK_AGAIN,
            "X-Content-Type-Options": "nosniff",
        }
        if request.headers.get("if-none-match") == asset.etag:
            return Response(status_code=304, headers=headers)
        return Response(asset.content, headers=headers, media_type=asset.media_type)

    def routes(self) -> list[BaseRoute]:
        return [
            GuardedRoute("/static/{version}/{name:path}", self.serve, role=None),
            GuardedRoute("/favicon.ico", self.favicon, role=None),
        ]


def load(path: Path) -> Asset:
    content = path.read_bytes()
    media_type = MEDIA_TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Asset(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:20]}"')


ASSETS = Assets(FOLDER)
