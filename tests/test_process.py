"""The supervised child: frames both ways, restarts, and an end that leaves nothing behind."""

import asyncio
import os
import time

import pytest

from penstock.errors import DeadlineExceeded, EngineStopped, Unavailable
from penstock.process import ChildCommand, SupervisedChild

pytestmark = pytest.mark.usefixtures("support_on_path")


class Watched:
    """A supervised echo child and everything it said."""

    def __init__(self, setup: bytes = b"hello", **options: object) -> None:
        self.frames: asyncio.Queue[bytes] = asyncio.Queue()
        self.readies: list[bytes] = []
        self.exits: asyncio.Queue[str] = asyncio.Queue()
        self.child = SupervisedChild(
            ChildCommand(name="echo", module="echo_child", setup=setup, start_timeout=20),
            on_frame=self.frames.put_nowait,
            on_ready=self.readies.append,
            on_exit=self.exits.put_nowait,
            backoff=(0.01, 0.05),
        )


def soon() -> float:
    return time.monotonic() + 20


async def test_frames_of_any_size_come_back_in_order() -> None:
    watched = Watched()
    await watched.child.start()
    assert watched.readies == [b"ready:hello"]
    payloads = [b"", b"a", os.urandom(3_000_000), "müller".encode()]
    for payload in payloads:
        watched.child.send(payload)
    assert [await watched.frames.get() for _ in payloads] == payloads
    await watched.child.stop()


async def test_a_dead_child_is_started_again() -> None:
    watched = Watched()
    await watched.child.start()
    first = watched.child.pid
    watched.child.send(b"die")
    assert "exit status 9" in await watched.exits.get()
    with pytest.raises(EngineStopped, match="echo is restarting"):
        watched.child.send(b"lost")
    await watched.child.ready(soon())
    assert watched.child.pid != first
    assert watched.child.restarts == 1
    watched.child.send(b"again")
    assert await watched.frames.get() == b"again"
    await watched.child.stop()


async def test_a_child_that_never_starts_says_why() -> None:
    watched = Watched(setup=b"refuse")
    with pytest.raises(Unavailable, match="exit status 3: this machine has no flux capacitor"):
        await watched.child.start()
    await watched.child.stop()


async def test_waiting_ends_at_the_deadline() -> None:
    watched = Watched()
    await watched.child.start()
    watched.child.kill()
    await watched.exits.get()
    with pytest.raises(DeadlineExceeded, match="killed by SIGKILL"):
        await watched.child.ready(time.monotonic())
    await watched.child.stop()


async def test_stopping_ends_a_child_that_hangs() -> None:
    watched = Watched()
    await watched.child.start()
    pid = watched.child.pid
    assert pid is not None
    watched.child.send(b"hang")
    await watched.child.stop(grace=0.05)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert watched.child.pid is None
