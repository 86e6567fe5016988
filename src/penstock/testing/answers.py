"""What a simulated provider got, and what it is to do: whole answers, streams, and the ways to break them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct


class Received(Struct, frozen=True):
    """One request as it came; header names are lower-case. `path` has its query."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Cut(Struct, frozen=True):
    """Breaks the connection off, without an end. `properly` closes it as a server does that stops."""

    properly: bool = False


class Pause(Struct, frozen=True):
    """Waits for some seconds; without end, until the client leaves."""

    seconds: float = float("inf")


class Bytes(Struct, frozen=True):
    """Bytes of a body as they are, without the frame of an event."""

    data: bytes


Step = bytes | Bytes | asyncio.Event | Cut | Pause


class Reply(Struct, frozen=True, kw_only=True):
    """A whole answer. `after` is waited for first; `drip` sends it byte by byte, so many seconds apart."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = {}
    after: asyncio.Event | Pause | None = None
    drip: float | None = None
    cut: bool = False


class Stream(Struct, frozen=True, kw_only=True):
    """A stream: `bytes` are the data of one event, an event of asyncio is waited for, `Cut` breaks off.

    `done` false ends the stream properly, but without OpenAI's mark that it is complete.
    """

    events: Sequence[Step]
    done: bool = True
    media_type: str = "text/event-stream"
    after: Pause | None = None


Answer = Reply | Stream | Cut
Behave = Callable[[Received], Answer]
