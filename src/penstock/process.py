"""Supervised child processes that speak in frames over a Unix socket.

Native code (engines, the encoder, document parsers) runs in a child, so that its crash, its memory and its
locks are its own. Parent and child share one socket pair: no path, no port, nobody else can connect, and
either side sees the other's death as the end of the stream. A frame is a length of four bytes, little-endian,
and that many bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import select
import signal
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from penstock.errors import DeadlineExceeded, EngineStopped, Unavailable

logger = logging.getLogger(__name__)

LENGTH = struct.Struct("<I")
MAX_FRAME = 1 << 30
State = Literal["starting", "ready", "restarting", "stopped"]

QUIET_ENVIRONMENT = {
    "OPENVINO_TELEMETRY_DISABLED": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
"""Set for every child: no dependency phones home."""


class FrameSocket:
    """The child's end: blocking reads and writes of frames, for single-threaded loops."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray()

    @classmethod
    def from_argument(cls, argument: str) -> FrameSocket:
        """The socket whose file descriptor the parent passed on the command line."""
        die_with_parent()
        return cls(socket.socket(fileno=int(argument)))

    def send(self, payload: bytes) -> None:
        self._sock.sendall(LENGTH.pack(len(payload)) + payload)

    def receive(self, timeout: float | None = None) -> bytes | None:
        """The next frame; `None` after `timeout` seconds without one. Raises `EOFError` when the parent left."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            frame = self._take()
            if frame is not None:
                return frame
            wait = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not select.select([self._sock], [], [], wait)[0]:
                return None
            data = self._sock.recv(1 << 20)
            if not data:
                raise EOFError("the parent process closed the socket")
            self._buffer += data

    def _take(self) -> bytes | None:
        if len(self._buffer) < LENGTH.size:
            return None
        (length,) = LENGTH.unpack_from(self._buffer)
        end = LENGTH.size + length
        if len(self._buffer) < end:
            return None
        payload = bytes(self._buffer[LENGTH.size : end])
        del self._buffer[:end]
        return payload


def die_with_parent() -> None:
    """Asks Linux to kill this process when its parent dies, even inside native code that never returns."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


class ChildCommand(msgspec.Struct, frozen=True, kw_only=True):
    """What to run: `python -m module FD`, then one frame with `setup` before any other.

    The child answers with a first frame when it is ready; its content goes to `on_ready`.
    """

    name: str
    module: str
    setup: bytes = b""
    environment: Mapping[str, str] = {}
    start_timeout: float = 120.0


class _FrameProtocol(asyncio.Protocol):
    def __init__(self, on_frame: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._buffer = bytearray()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= LENGTH.size:
            (length,) = LENGTH.unpack_from(buffer, start)
            end = start + LENGTH.size + length
            if len(buffer) < end:
                break
            payload = bytes(buffer[start + LENGTH.size : end])
            start = end
            self._on_frame(payload)
        if start:
            del buffer[:start]

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_lost()


class SupervisedChild:
    """A child process that is started again, with back-off, when it dies.

    Give it before `start`: `on_frame` for each frame after the first, `on_ready` for the first, `on_exit` with
    the reason when a run ends unasked (fail what is in flight there). All are called on the event loop.
    """

    def __init__(
        self,
        command: ChildCommand,
        *,
        on_frame: Callable[[bytes], None],
        on_ready: Callable[[bytes], None] = lambda payload: None,
        on_exit: Callable[[str], None] = lambda reason: None,
        backoff: tuple[float, float] = (0.2, 30.0),
    ) -> None:
        self.command = command
        self.state: State = "stopped"
        self.restarts = 0
        self.reason = ""
        self._on_frame = on_frame
        self._on_ready = on_ready
        self._on_exit = on_exit
        self._backoff = backoff
        self._process: asyncio.subprocess.Process | None = None
        self._transport: asyncio.Transport | None = None
        self._ready = asyncio.Event()
        self._lost = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stderr: deque[str] = deque(maxlen=30)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self.state in ("starting", "ready") else None

    async def start(self) -> None:
        """Starts the child and waits until it is ready. Raises `Unavailable` with the end of its stderr."""
        if self._task is None:
            self.state = "starting"
            self._task = asyncio.create_task(self._supervise(), name=f"supervise {self.command.name}")
        await self.ready(time.monotonic() + self.command.start_timeout)

    async def ready(self, deadline: float) -> None:
        """Waits until the child can take frames. Raises `DeadlineExceeded`, or `Unavailable` once stopped."""
        while not self._ready.is_set():
            if self._task is None or self._task.done():
                raise Unavailable(
                    f"{self.command.name} is not running: {self.reason or 'it was stopped'}.",
                    hint="Run `penstock doctor` for what is wrong with this machine.",
                )
            ready = asyncio.ensure_future(self._ready.wait())
            done, _ = await asyncio.wait(
                {ready, self._task}, timeout=max(0.0, deadline - time.monotonic()), return_when="FIRST_COMPLETED"
            )
            ready.cancel()
            if not done:
                raise DeadlineExceeded(
                    f"{self.command.name} was not ready before the deadline"
                    + (f" (last exit: {self.reason})." if self.reason else "."),
                    hint="Try again in a few seconds, or allow more time.",
                )

    def send(self, payload: bytes) -> None:
        """Sends one frame. Raises `EngineStopped` where no child runs."""
        if self._transport is None or not self._ready.is_set():
            raise EngineStopped(f"{self.command.name} is restarting.", hint="Send the request again.")
        self._transport.write(LENGTH.pack(len(payload)) + payload)

    def kill(self) -> None:
        """Kills this run of the child at once; the supervisor starts the next."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def stop(self, grace: float = 2.0) -> None:
        """Ends the child: closes its socket, waits `grace` seconds, kills it."""
        task, self._task = self._task, None
        self.state = "stopped"
        self._ready.clear()
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self._transport is not None:
            self._transport.close()
        process = self._process
        if process is not None and process.returncode is None:
            try:
                await asyncio.wait_for(process.wait(), grace)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    async def _supervise(self) -> None:
        first, longest = self._backoff
        delay = first
        failures = 0
        while True:
            self.state = "starting"
            started = time.monotonic()
            was_ready = await self._run_once()
            self._ready.clear()
            self._on_exit(self.reason)
            logger.warning("%s ended: %s", self.command.name, self.reason)
            failures = 0 if was_ready else failures + 1
            if failures >= 3 and self.restarts == 0:
                # It never came up: the machine or the configuration is at fault, and trying on hides it.
                self.state = "stopped"
                return
            if was_ready and time.monotonic() - started > 60:
                delay = first
            self.restarts += int(was_ready)
            self.state = "restarting"
            await asyncio.sleep(delay)
            delay = min(longest, delay * 2)

    async def _run_once(self) -> bool:
        """Runs the child until it ends; returns whether it became ready. The reason is in `self.reason`."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._lost.clear()
        self._stderr.clear()
        became_ready = False

        def on_frame(payload: bytes) -> None:
            nonlocal became_ready
            if became_ready:
                self._on_frame(payload)
            else:
                became_ready = True
                self.state = "ready"
                self._on_ready(payload)
                self._ready.set()

        try:
            with theirs:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    self.command.module,
                    str(theirs.fileno()),
                    pass_fds=[theirs.fileno()],
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.STDOUT,
                    env={**os.environ, **QUIET_ENVIRONMENT, **self.command.environment},
                    start_new_session=True,
                )
            ours.setblocking(False)
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_unix_connection(
                lambda: _FrameProtocol(on_frame, self._lost.set), sock=ours
            )
            self._transport = transport
            transport.write(LENGTH.pack(len(self.command.setup)) + self.command.setup)
        except OSError as error:
            ours.close()
            self.reason = str(error)
            return False
        log = asyncio.create_task(self._read_log(self._process))
        try:
            await self._wait_for_end(self._process)
        finally:
            if not self._lost.is_set():
                transport.close()
            if sys.exc_info()[0] is None:
                await log
            else:
                log.cancel()
        return became_ready

    async def _wait_for_end(self, process: asyncio.subprocess.Process) -> None:
        ended = asyncio.ensure_future(process.wait())
        lost = asyncio.ensure_future(self._lost.wait())
        ready = asyncio.ensure_future(self._ready.wait())
        try:
            await asyncio.wait(
                {ended, lost, ready}, timeout=self.command.start_timeout, return_when="FIRST_COMPLETED"
            )
            if not (self._ready.is_set() or ended.done() or self._lost.is_set()):
                process.kill()
                await ended
                self.reason = f"not ready within {self.command.start_timeout:.0f} s"
                return
            await asyncio.wait({ended, lost}, return_when="FIRST_COMPLETED")
            if not ended.done():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(ended), 1.0)
            if not ended.done():
                process.kill()
                await ended
            self.reason = self._describe(process.returncode or 0)
        finally:
            for waiter in (ended, lost, ready):
                waiter.cancel()

    async def _read_log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            text = line.decode("utf-8", "replace").rstrip()
            self._stderr.append(text)
            logger.debug("%s: %s", self.command.name, text)

    def _describe(self, returncode: int) -> str:
        if returncode < 0:
            try:
                how = f"killed by {signal.Signals(-returncode).name}"
            except ValueError:
                how = f"killed by signal {-returncode}"
        else:
            how = f"exit status {returncode}"
        last = next((line for line in reversed(self._stderr) if line.strip()), "")
        return f"{how}: {last}" if last else how
