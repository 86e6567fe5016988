"""Limits over several machines: the counts are in PostgreSQL, and each process takes leases from them.

A process that needs what others may hold unused announces a recall (NOTIFY), and takes again when one of them has
given it back; while they live it does not take less for an answer, and waits. Each says every few seconds that it
lives. What was running in one that does not is taken back; what it held of windows stays counted until those pass,
for nobody knows how much of that it had used.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Coroutine, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from penstock.access.limits import repository
from penstock.access.limits.base import Counter, OnCrossing
from penstock.access.limits.leases import Change, Grant, Want
from penstock.access.limits.leasing import LeasingStore
from penstock.access.limits.repository import CHANNEL, Held, Taken
from penstock.access.limits.slots import unshared
from penstock.access.limits.values import CONCURRENT, CounterSpec, CounterUsage
from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.errors import PenstockError, Unavailable
from penstock.ids import new_id
from penstock.storage.database import Write
from penstock.storage.notices import Notices
from penstock.storage.postgres import PostgresDatabase

T = TypeVar("T")
SCHEMA = "limits"
BEAT_SECONDS = 3.0
LIVES_US = 10_000_000
RECALL_SECONDS = 3.0
"""After this, a recall is announced once more: what is announced while a connection is lost is missed."""
PATIENCE_SECONDS = 15.0
"""After this, one that lives and does not answer is taken to hold nothing that is unused."""
SWEEP_BEATS = 20

logger = logging.getLogger(__name__)


class Notice(Struct, frozen=True):
    """What processes tell each other: that counters are wanted back, or that they were given back."""

    sender: str
    recall: list[str] = []
    given: list[str] = []


class Awaited:
    """The processes that were asked for counters; `answered` when one of them has given back what it had."""

    def __init__(self, held: Held) -> None:
        self.names = {name for names in held.values() for name in names}
        self.answered = asyncio.Event()


class PostgresStore(LeasingStore):
    """A `LimitStore` of one process of many. `url` is the address of the database."""

    def __init__(
        self, url: str, on_crossing: OnCrossing = lambda crossing: None, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        keeper = PostgresKeeper(url, on_crossing, clock)
        super().__init__(keeper, unshared(), clock)
        keeper.store = self


class PostgresKeeper:
    """The database as one process sees it. Connects when first needed."""

    def __init__(self, url: str, on_crossing: OnCrossing, clock: Clock) -> None:
        self.store: LeasingStore
        self._url = url
        self._on_crossing = on_crossing
        self._now_us = clock.now_us
        self._holder = new_id("holder")
        self._database: PostgresDatabase | None = None
        self._opening = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._specs: dict[int, CounterSpec] = {}
        self._numbers: dict[str, int] = {}
        self._new: set[int] = set()
        self._taking = asyncio.Lock()
        self._awaited: set[Awaited] = set()
        self._asked: dict[int, float] = {}
        """When counters that others hold were first asked for, in the event loop's time."""
        self._unsent: list[Change] = []
        self._dead_us = 0

    async def open(self) -> None:
        """Raises `Unavailable`, `ConfigError` or `StorageError` where the database cannot be used."""
        if self._database is not None:
            return
        async with self._opening:
            if self._database is None:
                self._database = await asyncio.to_thread(PostgresDatabase, self._url, SCHEMA, durable=False)
                await self._beat()
                notices = Notices(self._url, CHANNEL, self._on_notice)
                self._start(notices.listen())
                self._start(self._keep_alive())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RECALL_SECONDS):
                        await notices.listening.wait()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def register(self, counter: Counter) -> None:
        if (known := self._specs.get(counter.number)) is not None:
            self._numbers.pop(known.id, None)
        self._specs[counter.number] = counter.spec
        self._numbers[counter.spec.id] = counter.number
        self._new.add(counter.number)

    async def take(self, wants: Sequence[Want]) -> list[Grant]:
        async with self._taking:
            taken = await self._take_once(wants)
        now = asyncio.get_running_loop().time()
        for want in wants:
            if want.number in taken.held:
                self._asked.setdefault(want.number, now)
            else:
                self._asked.pop(want.number, None)
        if taken.held:
            self._start(self._recall(taken.held))
        return list(taken.grants)

    async def _take_once(self, wants: Sequence[Want]) -> Taken:
        counted = {want.number: self._specs[want.number] for want in wants}
        lives = self._dead_us - self._now_us()
        while True:
            if new := [self._specs[number] for number in counted if number in self._new]:
                self._new -= counted.keys()
                await self._write(partial(repository.register, specs=new))
            taken = await self._write(partial(repository.take, holder=self._holder, wants=wants, counted=counted))
            if not taken.unknown:
                break
            # Something was idle so long that its row was deleted. The rest goes back before all is taken again.
            self._new |= taken.unknown
            self.give([Change(grant.number, grant.ends_us, -grant.amount) for grant in taken.grants])
        for crossing in taken.crossings:
            self._on_crossing(crossing)
        grants = (
            replace(grant, lasts_us=lives) if counted[grant.number].dimension == CONCURRENT else grant
            for grant in taken.grants
        )
        return replace(taken, grants=tuple(grants))

    async def _recall(self, held: Held) -> None:
        """Until one of those who hold something has given it back, or it is time to ask again."""
        awaited = Awaited(held)
        self._awaited.add(awaited)
        try:
            await self._tell(Notice(self._holder, recall=[self._specs[number].id for number in held]))
            async with asyncio.timeout(RECALL_SECONDS):
                await awaited.answered.wait()
        except TimeoutError:
            await self._give_up_on(held)
        except PenstockError as error:
            logger.warning("what others hold of limits could not be recalled: %s", error)
        finally:
            self._awaited.discard(awaited)
            self.store.ask_again()

    async def _give_up_on(self, numbers: Iterable[int]) -> None:
        late = asyncio.get_running_loop().time() - PATIENCE_SECONDS
        if names := [self._specs[number].id for number in numbers if self._asked.get(number, late + 1) <= late]:
            with contextlib.suppress(PenstockError):
                await self._write(partial(repository.give_up_on, holder=self._holder, names=names))

    def give(self, changes: Sequence[Change]) -> None:
        self._unsent += changes
        task = asyncio.create_task(self._send())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, rested: Sequence[str] = ()) -> None:
        """Writes what is to be corrected; what cannot be written now is written with the next heartbeat."""
        changes, self._unsent = self._unsent, []
        if not changes and not rested:
            return
        try:
            await self._write(
                partial(
                    repository.change,
                    holder=self._holder,
                    changes=changes,
                    counted=dict(self._specs),
                    rested=rested,
                )
            )
        except PenstockError as error:
            logger.warning("what was given back to limits is kept for later: %s", error)
            self._unsent = changes + self._unsent

    def _on_notice(self, message: str) -> None:
        try:
            notice = msgspec.json.decode(message, type=Notice)
        except msgspec.MsgspecError:
            return
        if notice.sender == self._holder:
            return
        if notice.given:
            for awaited in self._awaited:
                if notice.sender in awaited.names:
                    awaited.answered.set()
        if names := [name for name in notice.recall if name in self._numbers]:
            self._start(self._give_back(names))

    async def _give_back(self, names: list[str]) -> None:
        async with self._taking:  # what was granted, and has not come yet, is given back as well
            self._unsent += self.store.recall([self._numbers[name] for name in names if name in self._numbers])
            await self._send(rested=names)
        await self._tell(Notice(self._holder, given=names))

    async def _tell(self, notice: Notice) -> None:
        await self._write(partial(repository.notify, message=msgspec.json.encode(notice).decode()))

    async def _keep_alive(self) -> None:
        for beat in itertools.count(1):
            await asyncio.sleep(BEAT_SECONDS)
            try:
                await self._beat()
                await self._send()
                if beat % SWEEP_BEATS == 0:
                    await self._write(repository.sweep)
            except PenstockError as error:
                logger.warning("limits have lost their database for now: %s", error)

    async def _beat(self) -> None:
        """Says that this process lives, and takes back what was running in those that do not."""
        dead_us = self._now_us() + LIVES_US
        was_dead = await self._write(partial(repository.beat, holder=self._holder, lives_us=LIVES_US))
        if was_dead:
            self.store.lose(unshared())
        await self._write(repository.bury)
        self._dead_us = dead_us
        self.store.prolong(dead_us)

    async def usage(self) -> list[CounterUsage]:
        await self._send()
        found = await self._write(repository.usage)
        left = self.store.unused()
        return [replace(each, used=max(0, each.used - left.get(each.spec.id, 0))) for each in found]

    async def _write(self, work: Write[T]) -> T:
        if self._database is None:
            raise Unavailable("The limits of this server are not open.", hint="Try again in a moment.")
        return await self._database.write(work)

    async def close(self) -> None:
        """Gives everything back, says good-bye, and closes the connections."""
        if self._database is None:
            return
        try:
            await self._send()
            await self._write(partial(repository.bury, leaving=self._holder))
        except PenstockError as error:
            logger.warning("limits could not be given back: %s", error)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        database, self._database = self._database, None
        await asyncio.to_thread(database.close)
