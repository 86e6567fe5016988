"""Limits in a worker process: the counts are the coordinator's, at the other end of a Unix socket."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from penstock.access.limits import frames
from penstock.access.limits.base import Counter
from penstock.access.limits.frames import (
    Again,
    AskUsage,
    Frames,
    Give,
    Hello,
    Recall,
    Register,
    Take,
    Taken,
    Up,
)
from penstock.access.limits.leases import Change, Grant, Want
from penstock.access.limits.leasing import LeasingStore
from penstock.access.limits.slots import HANDED, TAKEN_OVER, Slots, unshared
from penstock.access.limits.values import CounterUsage
from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.errors import Unavailable

T = TypeVar("T")

ANSWER_SECONDS = 20.0
"""How long the coordinator may take to answer, which never waits for anybody."""
MOST_UNSENT = 10_000


class CoordinatorStore(LeasingStore):
    """A `LimitStore` of a worker process. `socket` is where the `Coordinator` serves."""

    def __init__(self, socket: Path, clock: Clock = SYSTEM_CLOCK) -> None:
        keeper = SocketKeeper(socket)
        super().__init__(keeper, unshared(), clock)
        keeper.store = self


class SocketKeeper:
    """The coordinator as a worker sees it. Connects when first needed, and anew when the coordinator has gone."""

    _names = itertools.count()

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._slots: Slots | None = None
        self.store: LeasingStore
        self._registered: dict[int, Counter] = {}
        self._unsent: list[Change] = []
        self._frames: Frames | None = None
        self._taken: asyncio.Future[list[Grant]] | None = None
        self._usage: asyncio.Future[list[CounterUsage]] | None = None

    async def open(self) -> None:
        if self._frames is not None:
            return
        opened = Frames(self._on_message, self._on_end)
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: opened, str(self._socket))
        except OSError as error:
            raise self._gone() from error
        name = f"{self._socket.name}.{os.getpid()}.{next(self._names)}.slots"
        self._slots = Slots.make(self._socket.parent / name)
        self.store.lose(self._slots.words)
        self._frames = opened
        opened.send(Hello(name))
        for number, counter in self._registered.items():
            opened.send(Register(number, counter.spec))
        opened.send(Give(self._unsent))
        self._unsent = []

    def register(self, counter: Counter) -> None:
        self._registered[counter.number] = counter
        if self._frames is not None:
            self._frames.send(Register(counter.number, counter.spec))

    async def take(self, wants: Sequence[Want]) -> list[Grant]:
        self._taken = asyncio.get_running_loop().create_future()
        return await self._ask(Take(list(wants)), self._taken)

    def give(self, changes: Sequence[Change]) -> None:
        if self._frames is not None:
            self._give(self._frames, list(changes))
        else:
            self._unsent = [*self._unsent, *changes][-MOST_UNSENT:]

    async def usage(self) -> list[CounterUsage]:
        self._usage = asyncio.get_running_loop().create_future()
        return await self._ask(AskUsage(), self._usage)

    async def close(self) -> None:
        if self._frames is not None:
            frames, self._frames = self._frames, None
            await frames.finish()
        self._drop_slots()

    async def _ask(self, message: Up, answer: asyncio.Future[T]) -> T:
        """Raises `Unavailable` where no answer comes."""
        if self._frames is None:
            raise self._gone()
        self._frames.send(message)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await answer
        except TimeoutError:
            if self._frames is not None:
                self._frames.close()
            raise self._gone() from None

    def _on_message(self, data: bytes) -> None:
        message = frames.DOWN.decode(data)
        if isinstance(message, Taken):
            if self._slots is not None:
                self._slots.words[TAKEN_OVER] = message.serial
            if self._taken is not None and not self._taken.done():
                self._taken.set_result(message.grants)
        elif isinstance(message, Recall):
            # After the round that may just have got its grants: what waited for them takes its share first.
            asyncio.get_running_loop().call_soon(self._give_up, message.number)
        elif isinstance(message, Again):
            asyncio.get_running_loop().call_soon(self.store.ask_again)  # after that round, too
        elif self._usage is not None and not self._usage.done():
            self._usage.set_result(message.counters)

    def _give_up(self, number: int) -> None:
        if self._frames is not None:
            self._give(self._frames, self.store.recall([number]), number)

    def _give(self, opened: Frames, changes: list[Change], recall: int = 0) -> None:
        assert self._slots is not None
        opened.send(Give(changes, recall, self._slots.words[HANDED]))

    def _on_end(self) -> None:
        if self._frames is None:
            return
        self._frames = None
        for answer in (self._taken, self._usage):
            if answer is not None and not answer.done():
                answer.set_exception(self._gone())
        self.store.lose(unshared())
        self.store.ask_again()
        self._drop_slots()

    def _drop_slots(self) -> None:
        if self._slots is not None:
            self._slots.close()
            self._slots = None

    def _gone(self) -> Unavailable:
        return Unavailable(
            "The process that counts for the limits of this server does not answer.",
            hint="Try again in a moment; if it stays so, restart Penstock.",
            retry_after=1.0,
        )
