"""A server to look at, and a watch that fails a test for any error on a page or call beyond this machine."""

import asyncio
import contextlib
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Page, Request

from penstock.console.routes import routes
from penstock.exchange import LOCAL_PROJECT
from penstock.gateway.services import Services
from penstock.http.serve import HttpServer, ServerAddress
from penstock.http.server import build
from penstock.traces.span import TraceFilter, TraceSummary
from support.console_site import ScriptedApp

T = TypeVar("T")

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
]
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
WIDE = {"viewport": {"width": 1920, "height": 1080}}
PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}


class Site:
    """A real server on a free port, its loop in a thread of its own."""

    def __init__(self, folder: Path, opening: AbstractAsyncContextManager[Services]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="console site", daemon=True)
        self._thread.start()
        self.folder = folder
        self._opening = opening
        self.services = self.do(opening.__aenter__())
        self._server = HttpServer(build(self.services, routes()), ServerAddress(port=0, drain_seconds=1))
        self.do(self._server.start())
        self.url = self._server.url

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs something on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    @property
    def app(self) -> ScriptedApp:
        provider = self.services.registry.get("plant").provider
        assert isinstance(provider, ScriptedApp)
        return provider

    def go_on(self) -> None:
        """Lets an answer that waits end."""
        self._loop.call_soon_threadsafe(self.app.go_on.set)

    def complete(self, question: str, model: str = "plant") -> None:
        """Asks through the API, as any client would; what comes back does not matter."""
        body = {"model": model, "messages": [{"role": "user", "content": question}]}
        sent = urllib.request.Request(
            f"{self.url}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(sent, timeout=30) as answer:
            answer.read()

    def close(self) -> None:
        self.do(self._server.stop())
        self.do(self._opening.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


class Watch:
    """What went wrong in a browser context. `expected` are parts of messages that a test provokes."""

    def __init__(self, context: BrowserContext) -> None:
        self.expected: list[str] = []
        self._problems: list[str] = []
        context.on("console", self._on_console)
        context.on("weberror", lambda error: self._problems.append(f"error on the page: {error.error}"))
        context.on("request", self._on_request)
        context.on("dialog", self._on_dialog)

    def _on_dialog(self, dialog: Dialog) -> None:
        self._problems.append(f"dialog: {dialog.message}")
        dialog.accept()

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._problems.append(f"console {message.type}: {message.text}")

    def _on_request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme in ("http", "https", "ws", "wss") and address.hostname != "127.0.0.1":
            self._problems.append(f"request that leaves the machine: {request.url}")

    @property
    def problems(self) -> list[str]:
        return [problem for problem in self._problems if not any(part in problem for part in self.expected)]


class WatchedPage:
    """A page and the watch over it."""

    def __init__(self, page: Page, watch: Watch) -> None:
        self.page = page
        self.watch = watch


OpenPage = Callable[..., WatchedPage]


def ask(page: Page, question: str, *, finished: bool = True) -> None:
    """Asks on the chat page, and waits for the end of the answer unless told otherwise."""
    page.fill("#question", question)
    page.press("#question", "Enter")
    if finished:
        page.wait_for_selector(".turn:last-child article[aria-busy=false]")


def traces(site: Site, **wanted: Any) -> tuple[TraceSummary, ...]:
    """What was recorded so far, newest first."""
    site.do(site.services.traces.flush())
    return site.do(site.services.traces.list(TraceFilter(project_id=LOCAL_PROJECT, **wanted))).traces
