"""Runs the application on uvicorn: binds before it says so, and stops without cutting off who is being answered."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import signal
import socket
import time
from collections.abc import Generator
from typing import cast

import uvicorn
from msgspec import Struct
from starlette.applications import Starlette

from penstock.errors import ConfigError
from penstock.http.answering import Running, stopping
from penstock.http.connection import HttpConnection
from penstock.http.tls import Certificates

logger = logging.getLogger(__name__)

BACKLOG = 2048
FAREWELL = 2.0
"""Seconds that the last error events and the closing of connections may take after the drain."""
THIS_MACHINE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- what is listened on is checked in `listen`
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class ServerAddress(Struct, frozen=True, kw_only=True):
    """Where to listen, and how long running answers may go on after `stop`. Port 0 takes a free one.

    `keyed` says that every request needs a key; without, only a loopback address is listened on. `shared` lets
    other processes of the same user listen there, too, and the kernel choose for each connection.
    """

    host: str = "127.0.0.1"
    port: int = 7100
    drain_seconds: float = 30.0
    keyed: bool = False
    shared: bool = False
    tls: Certificates | None = None


class HttpServer:
    """One listening server. `start`, then `serve_forever` or `stop`."""

    def __init__(self, app: Starlette, address: ServerAddress) -> None:
        self.app = app
        self._address = address
        self._running: Running = app.state.running
        config = uvicorn.Config(
            app,
            loop="none",
            http=HttpConnection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            proxy_headers=False,
            timeout_graceful_shutdown=None,
        )
        config.load()
        if address.tls is not None:
            config.ssl = address.tls.context
        self._server = DrainingServer(config, self._running, address.drain_seconds)
        app.state.services.meter.connections = self._server.server_state.connections
        self.port = address.port
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where this machine reaches it, once it was started."""
        return url_of(self._address.host, self.port, tls=self._address.tls is not None)

    async def start(self) -> None:
        """Listens. Raises `ConfigError` for a port in use, or an address for others while there is no key."""
        address = self._address
        bound = listen(address.host, address.port, keyed=address.keyed, shared=address.shared)
        self.port = bound.getsockname()[1]
        self._task = asyncio.create_task(self._server.serve([bound]))
        listening = asyncio.create_task(self._server.listening.wait())
        await asyncio.wait({self._task, listening}, return_when="FIRST_COMPLETED")
        listening.cancel()
        if self._task.done():
            await self._task

    async def serve_forever(self) -> None:
        """Serves until SIGTERM or SIGINT, then drains. A second signal ends what still runs at once."""
        loop = asyncio.get_running_loop()
        for each in SIGNALS:
            loop.add_signal_handler(each, self._on_signal)
        try:
            assert self._task is not None, "the server was not started"
            await self._task
        finally:
            for each in SIGNALS:
                loop.remove_signal_handler(each)

    async def stop(self) -> None:
        """Stops listening, lets running answers finish within `drain_seconds`, and ends the rest with an error."""
        if self._task is None:
            return
        self._begin_stop()
        await self._task

    def _begin_stop(self) -> None:
        self._running.stopping = True
        self._server.should_exit = True

    def _on_signal(self) -> None:
        if self._running.stopping:
            self._server.end_all()
            return
        if len(self._running):
            logger.info(
                "stopping: %d answers may finish within %g s", len(self._running), self._address.drain_seconds
            )
        self._begin_stop()


class DrainingServer(uvicorn.Server):
    """uvicorn, but an answer that is cut off by the stop ends with an error event and not with silence."""

    def __init__(self, config: uvicorn.Config, running: Running, drain_seconds: float) -> None:
        super().__init__(config)
        self._running = running
        self._drain_seconds = drain_seconds
        self.listening = asyncio.Event()

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second; connections that have waited enough are ended once a second."""
        if counter % 10 == 0:
            now = time.monotonic()
            for connection in [each for each in self._open() if each.until <= now]:
                connection.expire()
        return await super().on_tick(counter)

    def _open(self) -> set[HttpConnection]:
        return cast("set[HttpConnection]", self.server_state.connections)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals are `HttpServer`'s: uvicorn would raise them again when it ends, before others have closed."""
        yield

    def end_all(self) -> None:
        """Ends every answer, and every request whose body has not come."""
        self._running.stop()
        for connection in tuple(self._open()):
            connection.cut(stopping())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        timer = asyncio.get_running_loop().call_later(self._drain_seconds, self.end_all)
        self.config.timeout_graceful_shutdown = int(self._drain_seconds + FAREWELL) + 1
        try:
            await super().shutdown(sockets)
        finally:
            timer.cancel()


def url_of(host: str, port: int, *, tls: bool = False) -> str:
    host = THIS_MACHINE.get(host, host)
    return f"http{'s' if tls else ''}://{f'[{host}]' if ':' in host else host}:{port}"


def listen(host: str, port: int, *, keyed: bool = False, shared: bool = False) -> socket.socket:
    """A socket that listens. Raises `ConfigError` that names the address and what to do.

    `keyed` says that every request will need a key; without, an address that others reach is refused.
    """
    found = bound(host, port, keyed=keyed, shared=shared)
    try:
        found.listen(BACKLOG)
    except OSError as error:
        found.close()
        raise unusable(host, port, error) from None
    found.setblocking(False)
    return found


def reserve(host: str, port: int, *, keyed: bool = False) -> socket.socket:
    """Holds a port for processes that will listen with `shared`, without listening. Raises like `listen`."""
    free = listen(host, port, keyed=keyed)  # is not in use by anybody, not even by who shares
    port = free.getsockname()[1]
    free.close()
    return bound(host, port, keyed=keyed, shared=True)


def bound(host: str, port: int, *, keyed: bool = False, shared: bool = False) -> socket.socket:
    name = "127.0.0.1" if host == "localhost" else host
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        raise ConfigError(f"host {host!r} is not an address.", hint="Use 127.0.0.1, or 0.0.0.0 for all.") from None
    if not address.is_loopback and not keyed:
        raise ConfigError(
            f"host {host!r} is not a loopback address, and without keys whoever reaches it could do everything.",
            hint="Make a key first with `penstock keys create --role owner --name NAME`, or use 127.0.0.1.",
        )
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is named; with it on, each answer takes 40 ms.
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        found.bind((name, port))
    except OSError as error:
        found.close()
        raise unusable(host, port, error) from None
    return found


def unusable(host: str, port: int, error: OSError) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        return ConfigError(
            f"Port {port} on {host} is in use.",
            hint=f"Stop what uses it, or choose another: --port {port + 1 if port < 65535 else 7100}.",
        )
    if error.errno == errno.EACCES:
        return ConfigError(f"Port {port} needs rights that this user lacks.", hint="Use --port 7100.")
    return ConfigError(f"{host}:{port} cannot be listened on: {error.strerror}.")
