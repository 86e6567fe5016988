"""Counts kept in this process: exact, without waiting, and still there after kill -9 (`cells`)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from penstock.access.limits.base import TAKEN, WARNED, Counter, OnCrossing
from penstock.access.limits.cells import CURRENT, PREVIOUS, Cells
from penstock.access.limits.cells import WARNED as WARNED_CELL
from penstock.access.limits.leases import Grant, Want
from penstock.access.limits.values import CONCURRENT, Amounts, CounterSpec, CounterUsage, Crossing
from penstock.access.limits.windows import weighted
from penstock.clock import SYSTEM_CLOCK, Clock

FILE = "limits.counts"
"""The name of the file in a data folder."""
SYNC_SECONDS = 5.0


class LocalStore:
    """Keeps all counters; the one process that uses the file at `path` is this one.

    What runs at the moment is counted in memory only: nothing runs any more when a process starts. `on_crossing` is
    told when a counter first reaches its warning in a window.
    """

    def __init__(self, path: Path, on_crossing: OnCrossing = lambda crossing: None, clock: Clock = SYSTEM_CLOCK):
        self._cells = Cells(path)
        self._on_crossing = on_crossing
        self._counters: dict[str, Counter] = {}
        self.now_us = clock.now_us
        for kept in list(self._cells.kept()):
            counter = Counter(kept.spec)
            counter.at, counter.warned = kept.at, kept.warned_us
            counter.ends, counter.previous, counter.current = kept.ends_us, kept.previous, kept.current
            self._counters[kept.spec.id] = counter
        self.forget_idle()

    def counter(self, spec: CounterSpec) -> Counter:
        counter = self._counters.get(spec.id)
        if counter is None:
            counter = self._counters[spec.id] = Counter(spec)
            counter.ends = counter.window.bounds(self.now_us())[1]
            if spec.dimension != CONCURRENT:
                counter.at = self._cells.add(spec, counter.ends) or 0
        elif counter.spec != spec:
            counter.change(spec)
        return counter

    def take(self, counters: Sequence[Counter], amounts: Amounts) -> int:
        now = self.now_us()
        soft = False
        for counter in counters:
            if counter.ends <= now:
                self._turn(counter, now)
            amount = amounts[counter.dimension]
            total = counter.current + amount
            if counter.previous:
                total += weighted(counter.previous, counter.ends, counter.size, now)
            if total > counter.limit and amount:
                return self._lacking(counter, counters, amounts)
            if total >= counter.warn:
                soft = True
        words = self._cells.words
        for counter in counters:
            counter.current = current = counter.current + amounts[counter.dimension]
            if at := counter.at:
                words[at + CURRENT] = current
        if soft:
            self._warn(counters, now)
            return WARNED
        return TAKEN

    def _lacking(self, lacking: Counter, counters: Sequence[Counter], amounts: Amounts) -> int:
        """The number of the counter that lacks; all have then begun the stretch that runs, and can be shown."""
        now = self.now_us()
        if self._is_ahead(lacking, now):
            self._turn(lacking, now)
            return self.take(counters, amounts)
        for counter in counters:
            if counter.ends <= now:
                self._turn(counter, now)
        return counters.index(lacking)

    async def obtain(self, counters: Sequence[Counter], amounts: Amounts) -> int:
        return self.take(counters, amounts)

    def settle(self, counters: Sequence[Counter], ends: Sequence[int], deltas: Amounts) -> None:
        words = self._cells.words
        for counter, end in zip(counters, ends, strict=True):
            delta = deltas[counter.dimension]
            if not delta:
                continue
            if counter.ends == end:
                counter.current += delta
                if counter.at:
                    words[counter.at + CURRENT] = counter.current
            elif counter.ends - counter.size == end:
                counter.previous += delta
                if counter.at:
                    words[counter.at + PREVIOUS] = counter.previous

    def room(self, counter: Counter) -> int:
        """How much of a counter may still be taken."""
        now = self.now_us()
        if counter.ends <= now or self._is_ahead(counter, now):
            self._turn(counter, now)
        return max(0, counter.limit - counter.used(now))

    def grant(self, counter: Counter, want: Want, sharers: int) -> Grant:
        """Takes as much of what is needed as there is, and some of what is welcome beyond that.

        The less there is left, the less of it is given out in advance, so that each of the sharers finds some.
        """
        room = self.room(counter)
        need = min(want.need, room)
        amount = need + max(0, min(want.extra, (room - need) // (2 * sharers)))
        self.settle((counter,), (counter.ends,), (amount,) * 4)
        now = self.now_us()
        soft = counter.used(now) >= counter.warn
        if soft:
            self._warn((counter,), now)
        return Grant(
            number=want.number,
            amount=amount,
            ends_us=counter.ends,
            lasts_us=counter.ends - now,
            previous=counter.previous,
            current=counter.current,
            is_short=need < want.need,
            is_soft=soft,
        )

    def _is_ahead(self, counter: Counter, now: int) -> bool:
        """Whether the clock was set back so far that the counter's stretch would not end for a long time."""
        return counter.ends - counter.window.bounds(now)[1] > counter.size

    def _turn(self, counter: Counter, now: int) -> None:
        """Begins the stretch that `now` lies in."""
        start, ends = counter.window.bounds(now)
        counter.previous = counter.current if counter.window.size_us and counter.ends == start else 0
        counter.current = 0
        counter.ends = ends
        if counter.at:
            self._cells.turn(counter.at, ends, counter.previous)

    def _warn(self, counters: Sequence[Counter], now: int) -> None:
        for counter in counters:
            used = counter.used(now)
            if used >= counter.warn and counter.warned != counter.ends:
                counter.warned = counter.ends
                if counter.at:
                    self._cells.words[counter.at + WARNED_CELL] = counter.ends
                self._on_crossing(Crossing(counter.spec, used, counter.ends, now))

    async def usage(self) -> list[CounterUsage]:
        return self.all_usage()

    def all_usage(self) -> list[CounterUsage]:
        now = self.now_us()
        for counter in self._counters.values():
            if counter.ends <= now:
                self._turn(counter, now)
        return [CounterUsage(counter.spec, counter.used(now), counter.ends) for counter in self._counters.values()]

    def forget_idle(self) -> None:
        now = self.now_us()
        for name, counter in list(self._counters.items()):
            if counter.ends <= now:
                self._turn(counter, now)
            if counter.previous or counter.current:
                continue
            del self._counters[name]
            if counter.at:
                self._cells.free(counter.at)
            counter.at, counter.ends = 0, -1

    def __len__(self) -> int:
        return len(self._counters)

    async def keep_on_disk(self) -> None:
        """Against power cuts: every few seconds what was counted is brought to the disk. Runs until cancelled."""
        while True:
            await asyncio.sleep(SYNC_SECONDS)
            await asyncio.to_thread(self._cells.flush)

    async def close(self) -> None:
        for counter in self._counters.values():
            counter.at = 0
        self._cells.close()
