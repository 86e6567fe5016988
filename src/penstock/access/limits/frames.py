"""The messages between a process that holds leases and the coordinator: MessagePack, each after its length."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import cast

import msgspec
from msgspec import Struct

from penstock.access.limits.leases import Change, Grant, Want
from penstock.access.limits.values import CounterSpec, CounterUsage

HEAD = 4
LONGEST = 64 << 20
FINISH_SECONDS = 5.0


class Hello(Struct, frozen=True, array_like=True, tag="hello"):
    """The first message of a process: the file of its slots."""

    slots: str


class Register(Struct, frozen=True, array_like=True, tag="register"):
    """From now on this number means this counter."""

    number: int
    spec: CounterSpec


class Take(Struct, frozen=True, array_like=True, tag="take"):
    wants: list[Want]


class Give(Struct, frozen=True, array_like=True, tag="give"):
    """`recall` is the number of the counter whose recall this answers, 0 for none.

    `handed` is the second word of the sender's slots: leases that were handed in before are in these changes, or in
    those of a message before this one.
    """

    changes: list[Change]
    recall: int = 0
    handed: int = 0


class AskUsage(Struct, frozen=True, array_like=True, tag="usage?"):
    pass


class Taken(Struct, frozen=True, array_like=True, tag="taken"):
    """`serial` counts these messages; the process writes it to its slots before it uses what it got."""

    serial: int
    grants: list[Grant]


class Recall(Struct, frozen=True, array_like=True, tag="recall"):
    """What is left of this counter's lease is to be given back."""

    number: int


class Again(Struct, frozen=True, array_like=True, tag="again"):
    """What others held may be had now: take again."""


class Usage(Struct, frozen=True, array_like=True, tag="usage"):
    counters: list[CounterUsage]


Up = Hello | Register | Take | Give | AskUsage
Down = Taken | Recall | Again | Usage

ENCODER = msgspec.msgpack.Encoder()
UP = msgspec.msgpack.Decoder(Up)
DOWN = msgspec.msgpack.Decoder(Down)


def framed(message: Up | Down) -> bytes:
    data = ENCODER.encode(message)
    return len(data).to_bytes(HEAD, "big") + data


class Frames(asyncio.Protocol):
    """A connection that gives each message to `on_message` in the order in which they came."""

    def __init__(self, on_message: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        self._on_message = on_message
        self._on_end = on_end
        self._buffer = bytearray()
        self._ended = asyncio.Event()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's has no such class

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= HEAD:
            length = int.from_bytes(self._buffer[:HEAD], "big")
            if length > LONGEST:
                self.close()
                return
            if len(self._buffer) < HEAD + length:
                return
            message = bytes(self._buffer[HEAD : HEAD + length])
            del self._buffer[: HEAD + length]
            self._on_message(message)

    def connection_lost(self, error: Exception | None) -> None:
        self._ended.set()
        self._on_end()

    def send(self, message: Up | Down) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(framed(message))

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    async def finish(self) -> None:
        """Closes when the other side has read everything: it might not read on where it cannot write any more."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write_eof()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FINISH_SECONDS):
                    await self._ended.wait()
            self.transport.close()
