"""Counts that are kept elsewhere: amounts are taken in advance, so that most requests need not wait for the keeper.

A lease is good for one counter and one stretch of its window. Requests take from it without waiting; one that
finds too little waits for a round with the keeper, and one round at a time asks for all that wait by then. So
however many wait, the keeper is asked once, and what it says is said after each of them had come: a refusal is
never out of date. What is missing while others hold some of it unused is owed: who needs it waits until they have
given it back, as long as its own deadline allows, and holds up nobody who does not need it.

How much is taken in advance doubles while a lease lasts less than `BRISK_US`, and halves when it lasts longer.
What a quiet process holds goes back within `REST_SECONDS`, and at once when another one needs it (`recall`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from penstock.access.limits.base import TAKEN, WARNED, Counter
from penstock.access.limits.leases import Change, Elsewhere, Grant, Keeper, Want
from penstock.access.limits.slots import HANDED, unshared
from penstock.access.limits.values import CONCURRENT, Amounts, CounterSpec, CounterUsage
from penstock.access.limits.windows import FOREVER
from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.errors import Unavailable

BRISK_US = 200_000
REST_SECONDS = 1.0
FLUSH_SECONDS = 0.02


class Waiting:
    """A request that waits for what it needs."""

    __slots__ = ("amounts", "counters", "taken")

    def __init__(self, counters: Sequence[Counter], amounts: Amounts, taken: asyncio.Future[int]) -> None:
        self.counters = counters
        self.amounts = amounts
        self.taken = taken


class LeasingStore:
    """A `LimitStore` in front of a `Keeper`. `words` are where the rest of each lease is written (`slots`)."""

    def __init__(self, keeper: Keeper, words: Any, clock: Clock = SYSTEM_CLOCK) -> None:
        self._keeper = keeper
        self._words = words
        self.now_us = clock.now_us
        self._counters: dict[str, Counter] = {}
        self._by_number: dict[int, Counter] = {}
        self._free: list[int] = []
        self._waiting: list[Waiting] = []
        self._owed: list[Waiting] = []
        self._owed_numbers: set[int] = set()
        self._rounds: asyncio.Task[None] | None = None
        self._changes: dict[tuple[int, int], int] = {}
        self._flush: asyncio.TimerHandle | None = None
        self._rest: asyncio.TimerHandle | None = None
        self._generation = 0
        """Of what runs at the moment: it belongs to the keeper under which it began."""
        self._closed = False

    async def connect(self) -> None:
        """Reaches the keeper, so that the first request need not wait for that. Raises `Unavailable`."""
        await self._keeper.open()

    def counter(self, spec: CounterSpec) -> Counter:
        counter = self._counters.get(spec.id)
        if counter is None:
            counter = self._counters[spec.id] = Counter(spec)
            counter.number = self._free.pop() if self._free else len(self._by_number) + 1
            counter.at = counter.number * 2
            self._by_number[counter.number] = counter
            self._keeper.register(counter)
        elif counter.spec != spec:
            counter.change(spec)
            self._keeper.register(counter)
        return counter

    def take(self, counters: Sequence[Counter], amounts: Amounts) -> int:
        now = self.now_us()
        for number, counter in enumerate(counters):
            if counter.until <= now or counter.left < amounts[counter.dimension]:
                return number
        words = self._words
        said = TAKEN
        for counter in counters:
            words[counter.at] = counter.left = counter.left - amounts[counter.dimension]
            if counter.soft:
                said = WARNED
        return said

    async def obtain(self, counters: Sequence[Counter], amounts: Amounts) -> int:
        """Raises `Unavailable` where the keeper does not answer."""
        for number, counter in enumerate(counters):
            if amounts[counter.dimension] > counter.limit:
                return number
        waiting = Waiting(counters, amounts, asyncio.get_running_loop().create_future())
        if self._owed_numbers and any(each.number in self._owed_numbers for each in counters):
            self._owed.append(waiting)
        else:
            self._waiting.append(waiting)
            self._start_rounds()
        try:
            return await waiting.taken
        except asyncio.CancelledError:
            taken = waiting.taken
            if taken.done() and not taken.cancelled() and taken.exception() is None and taken.result() < 0:
                requests, tokens, nanos, running = amounts
                self.settle(counters, [each.ends for each in counters], (-requests, -tokens, -nanos, -running))
            raise

    def ask_again(self) -> None:
        """Others may have given back what is owed here."""
        self._waiting, self._owed = self._owed + self._waiting, []
        self._owed_numbers.clear()
        if self._waiting:
            self._start_rounds()

    def _start_rounds(self) -> None:
        if self._rounds is None:
            self._rounds = asyncio.create_task(self._run_rounds())

    async def _run_rounds(self) -> None:
        try:
            while self._waiting:
                batch = [each for each in self._waiting if not each.taken.done()]
                self._waiting = []
                try:
                    await self._round(batch)
                except Exception as error:
                    for waiting in batch:
                        if not waiting.taken.done():
                            waiting.taken.set_exception(error)
        finally:
            self._rounds = None

    async def _round(self, batch: list[Waiting]) -> None:
        """Asks once for all that wait; no other task runs between the answer and its use."""
        await self._keeper.open()
        asked_us = self.now_us()
        wants = self._wants(batch, asked_us)
        grants = await self._keeper.take(wants) if wants else []
        self._accept(grants, asked_us)
        short = {grant.number: grant.elsewhere for grant in grants if grant.is_short}
        for waiting in batch:
            if not waiting.taken.done():
                self._serve(waiting, short)
        held = [number for number, elsewhere in short.items() if elsewhere == "held"]
        if held:
            # What is left of it is too little for anybody here; others may need just that much.
            self._owed_numbers.update(held)
            if changes := self.recall(held):
                self._keeper.give(changes)
        self._look_for_rest()

    def _serve(self, waiting: Waiting, short: dict[int, Elsewhere]) -> None:
        """Takes what was granted for it, or says why there is too little."""
        taken = self.take(waiting.counters, waiting.amounts)
        if taken < 0:
            waiting.taken.set_result(taken)
            return
        lacking = {
            short[counter.number]: number
            for number, counter in enumerate(waiting.counters)
            if counter.number in short and counter.left < waiting.amounts[counter.dimension]
        }
        if "" in lacking:
            waiting.taken.set_result(lacking[""])
        elif "stuck" in lacking:
            waiting.taken.set_exception(stuck())
        elif lacking:
            self._owed.append(waiting)
        else:
            self._waiting.append(waiting)  # a stretch has ended meanwhile, or something was recalled

    def _wants(self, batch: list[Waiting], now: int) -> list[Want]:
        """What must be taken so that the whole batch has enough. What is left of old stretches goes back."""
        total: dict[int, int] = {}
        for waiting in batch:
            for counter in waiting.counters:
                total[counter.number] = total.get(counter.number, 0) + waiting.amounts[counter.dimension]
        wants = []
        for number, amount in total.items():
            counter = self._by_number[number]
            if counter.until <= now:
                self._hand_in(counter)
            elif counter.left >= amount:
                continue
            need = amount - counter.left
            brisk = now - counter.asked_us < BRISK_US
            counter.batch = min(counter.batch * 2 + need, counter.limit) if brisk else counter.batch // 2
            counter.asked_us = now
            wants.append(Want(number, need, counter.batch))
        self._send_changes()
        return wants

    def _accept(self, grants: Iterable[Grant], asked_us: int) -> None:
        for grant in grants:
            counter = self._by_number[grant.number]
            ends = grant.ends_us + (self._generation if counter.dimension == CONCURRENT else 0)
            if counter.ends != ends:
                self._hand_in(counter)
                counter.ends = ends
                self._words[counter.at + 1] = grant.ends_us
            counter.until = asked_us + grant.lasts_us
            counter.left += grant.amount
            counter.held += grant.amount
            counter.recalled = False
            if grant.is_short:
                counter.batch = 0
            self._words[counter.at] = counter.left
            counter.previous, counter.current, counter.soft = grant.previous, grant.current, grant.is_soft

    def settle(self, counters: Sequence[Counter], ends: Sequence[int], deltas: Amounts) -> None:
        for counter, end in zip(counters, ends, strict=True):
            delta = deltas[counter.dimension]
            if not delta:
                continue
            if counter.ends != end or (counter.recalled and delta < 0):
                self._change(counter, end, delta)  # to the keeper, where all can have it
                continue
            left = counter.left - delta
            if left < 0:
                self._change(counter, end, -left)
                left = 0
            self._words[counter.at] = counter.left = left

    def recall(self, numbers: Iterable[int]) -> list[Change]:
        """Gives up what is left of these leases."""
        for number in numbers:
            if (counter := self._by_number.get(number)) is not None:
                self._hand_in(counter)
                counter.recalled = True
        return self._drained_changes()

    def prolong(self, until_us: int) -> None:
        """What runs at the moment may go on to be counted here until then."""
        for counter in self._by_number.values():
            if counter.dimension == CONCURRENT and counter.until:
                counter.until = until_us

    def unused(self) -> dict[str, int]:
        """What is left of each lease, by the id of the counter."""
        return {counter.spec.id: counter.left for counter in self._by_number.values() if counter.left}

    def lose(self, words: Any) -> None:
        """The keeper has taken everything back, or is another one now: no lease holds. `words` are new ones."""
        self._generation += 1
        self._words = words
        for counter in self._by_number.values():
            counter.left = counter.held = counter.ends = counter.until = 0

    def _hand_in(self, counter: Counter) -> None:
        if counter.left:
            left, counter.left = counter.left, 0
            self._words[HANDED] += 1
            self._words[counter.at] = 0
            counter.held -= left
            self._change(counter, counter.ends, -left)

    def _change(self, counter: Counter, ends: int, delta: int) -> None:
        """Notes a correction, which is sent soon."""
        if counter.dimension == CONCURRENT:
            if ends != FOREVER + self._generation:
                return  # it ran under a keeper that has already taken it back
            ends = FOREVER
        key = (counter.number, ends)
        self._changes[key] = self._changes.get(key, 0) + delta
        if self._flush is None and not self._closed:
            self._flush = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._send_changes)

    def _send_changes(self) -> None:
        if changes := self._drained_changes():
            self._keeper.give(changes)

    def _drained_changes(self) -> list[Change]:
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        changes = [Change(number, ends, delta) for (number, ends), delta in self._changes.items() if delta]
        self._changes.clear()
        return changes

    def _look_for_rest(self) -> None:
        if self._rest is None and not self._closed:
            self._rest = asyncio.get_running_loop().call_later(REST_SECONDS, self._give_rest)

    def _give_rest(self) -> None:
        """Hands in leases from which nothing was taken since the last look; looks again while there are any."""
        self._rest = None
        now = self.now_us()
        for counter in self._by_number.values():
            if counter.left and (counter.left == counter.rested or counter.until <= now):
                self._hand_in(counter)
            counter.rested = counter.left
        self._send_changes()
        if any(counter.left for counter in self._by_number.values()):
            self._look_for_rest()

    async def usage(self) -> list[CounterUsage]:
        self._send_changes()
        await self._keeper.open()
        return await self._keeper.usage()

    def forget_idle(self) -> None:
        now = self.now_us()
        for name, counter in list(self._counters.items()):
            running = counter.held != counter.left if counter.dimension == CONCURRENT else counter.until > now
            if running:
                continue
            self._hand_in(counter)
            del self._counters[name], self._by_number[counter.number]
            self._free.append(counter.number)
        self._send_changes()

    def __len__(self) -> int:
        return len(self._counters)

    async def close(self) -> None:
        """Gives everything back."""
        self._closed = True
        if self._rest is not None:
            self._rest.cancel()
        if self._rounds is not None:
            self._rounds.cancel()
            await asyncio.gather(self._rounds, return_exceptions=True)
        for counter in self._by_number.values():
            self._hand_in(counter)
        self._send_changes()
        self.lose(unshared())
        await self._keeper.close()


def stuck() -> Unavailable:
    return Unavailable(
        "What is left of a limit is held by another process of this server, which does not answer.",
        hint="Try again in a moment; if it stays so, restart Penstock.",
        retry_after=1.0,
    )
