"""A platform from a file, served on loopback as `penstock up` does."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from penstock.config import load
from penstock.platform import Platform
from penstock.testing import ProviderServer


class Served:
    """A platform that is served, and its file."""

    def __init__(self, platform: Platform, url: str, file: Path, session: aiohttp.ClientSession) -> None:
        self.platform = platform
        self.url = url
        self.file = file
        self.session = session

    def write(self, *lines: str) -> None:
        self.file.write_text("\n".join(lines))

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with self.session.request(method, self.url + path, json=body) as answer:
            return answer.status, await answer.json()

    async def chat(self, model: str = "m") -> tuple[int, Any]:
        body = {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
        return await self.ask("POST", "/v1/chat/completions", body)

    async def reload(self) -> tuple[int, Any]:
        return await self.ask("POST", "/api/v1/config/reload", {})


@asynccontextmanager
async def served(folder: Path, *lines: str) -> AsyncIterator[Served]:
    file = folder / "penstock.toml"
    file.write_text("\n".join(lines))
    listening = asyncio.get_running_loop().create_future()
    async with Platform.open(load(folder, {("server", "port"): 0})) as platform:
        serving = asyncio.create_task(platform.serve(listening.set_result))
        await asyncio.wait({serving, listening}, return_when="FIRST_COMPLETED")
        try:
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(connector=connector) as session:
                yield Served(platform, await listening, file, session)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            await serving


def at(server: ProviderServer, name: str = "m", use: str = "corp/large") -> str:
    return f'[models.{name}]\nuse = "{use}"\nbase_url = "{server.base_url}"'
