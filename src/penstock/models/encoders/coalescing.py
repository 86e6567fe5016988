"""Many small requests for vectors become few large ones: what waits at the same moment travels together.

Each request to the vendor stays within bounds on texts and tokens, only so many are under way, and what somebody
waits for goes ahead of bulk work, which never takes the last places. One text that the vendor refuses fails only
the call that it came with.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from penstock.errors import PenstockError, UpstreamFailed
from penstock.seams import Embeddings, TextKind

URGENT_PLACES = 2
"""Requests under way that only urgent work may use, beside `BatchLimits.in_flight`."""

BYTES_PER_TOKEN = 3
"""Tokens are reckoned, on the high side: English has about four bytes to a token, most other scripts three."""

REFUSED = frozenset({400, 413, 422})
"""Statuses that one text of a request may be the reason for."""


class BatchLimits(Struct, frozen=True, kw_only=True):
    """Bounds of one request, and how many are under way."""

    texts: int
    tokens: int
    in_flight: int


class Batch(Struct, frozen=True):
    """Texts that travel together."""

    texts: tuple[str, ...]
    kind: TextKind
    urgent: bool


Send = Callable[[Batch], Awaitable[Embeddings]]
Key = tuple[bool, TextKind]


@dataclass(eq=False)
class Call:
    """One caller's texts, and what has come back for them."""

    rows: list[NDArray[np.float32] | None]
    done: asyncio.Future[None]
    left: int
    tokens: int = 0

    def fail(self, error: BaseException) -> None:
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    call: Call = field(repr=False)
    row: int
    text: str

    @property
    def wanted(self) -> bool:
        return not self.call.done.done()

    @property
    def tokens(self) -> int:
        return len(self.text.encode("utf-8", "replace")) // BYTES_PER_TOKEN + 1


class Coalescer:
    """Sends texts in batches by `send`, which raises a `PenstockError` or gives a row for each text."""

    def __init__(self, limits: BatchLimits, send: Send) -> None:
        self._limits = limits
        self._send = send
        self._waiting: dict[Key, deque[Item]] = {
            (urgent, kind): deque() for urgent in (True, False) for kind in ("query", "passage")
        }
        self._running: dict[asyncio.Task[None], tuple[list[Item], bool]] = {}
        self._scheduled = False
        self.closed = False

    @property
    def texts(self) -> int:
        """Texts that wait or are under way."""
        under_way = sum(item.wanted for items, _ in self._running.values() for item in items)
        return under_way + sum(len(queue) for queue in self._waiting.values())

    async def rows(
        self, texts: Sequence[str], kind: TextKind, urgent: bool
    ) -> tuple[list[NDArray[np.float32]], int]:
        """A row for each text, and the tokens that they were."""
        if not texts:
            return [], 0
        call = Call([None] * len(texts), asyncio.get_running_loop().create_future(), len(texts))
        self._waiting[urgent, kind].extend(Item(call, row, text) for row, text in enumerate(texts))
        self._schedule()
        try:
            await call.done
        finally:
            call.done.cancel()
            self._drop_unwanted()
        return [row for row in call.rows if row is not None], call.tokens

    async def close(self, error: PenstockError) -> None:
        """Ends what is under way; calls that wait fail with `error`."""
        self.closed = True
        tasks = list(self._running)
        for items in (*self._waiting.values(), *(items for items, _ in self._running.values())):
            for item in items:
                item.call.fail(error)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _schedule(self) -> None:
        """Starts requests once everything that is ready to run has said what it wants."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._scheduled = False
        for (urgent, kind), queue in self._waiting.items():
            while queue and self._has_place(urgent):
                if items := self._take(queue):
                    task = asyncio.create_task(self._run(items, kind, urgent))
                    self._running[task] = (items, urgent)
                    task.add_done_callback(self._ended)

    def _has_place(self, urgent: bool) -> bool:
        limit = self._limits.in_flight
        bulk = sum(not each for _, each in self._running.values())
        return len(self._running) < limit + URGENT_PLACES if urgent else bulk < limit

    def _take(self, queue: deque[Item]) -> list[Item]:
        """The oldest texts, as many as one request may hold; a text that is too long for any goes alone."""
        items: list[Item] = []
        tokens = 0
        while queue and len(items) < self._limits.texts:
            if queue[0].wanted:
                tokens += queue[0].tokens
                if items and tokens > self._limits.tokens:
                    break
                items.append(queue.popleft())
            else:
                queue.popleft()
        return items

    async def _run(self, items: list[Item], kind: TextKind, urgent: bool) -> None:
        try:
            found = await self._send(Batch(tuple(item.text for item in items), kind, urgent))
        except PenstockError as error:
            for part in parts(items, error):
                if still := [item for item in part if item.wanted]:
                    await self._run(still, kind, urgent)
            return
        share = found.tokens / len(items)
        for item, row in zip(items, found.vectors, strict=True):
            call = item.call
            call.rows[item.row] = row
            call.left -= 1
            call.tokens += round(share)
            if call.left == 0 and not call.done.done():
                call.done.set_result(None)

    def _ended(self, task: asyncio.Task[None]) -> None:
        items, _ = self._running.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            for item in items:
                item.call.fail(error)
        if not self.closed:
            self._pump()

    def _drop_unwanted(self) -> None:
        """Cancels requests that nobody waits for any more."""
        for task, (items, _) in self._running.items():
            if not any(item.wanted for item in items):
                task.cancel()


def parts(items: list[Item], error: PenstockError) -> list[list[Item]]:
    """What to send again after a refusal, in smaller requests, to find the text that is the reason; else none.

    Where nothing is sent again, the calls are failed.
    """
    if len(items) > 1 and isinstance(error, UpstreamFailed):
        if error.kind == "context_length":
            middle = len(items) // 2
            return [items[:middle], items[middle:]]
        by_call: dict[int, list[Item]] = {}
        for item in items:
            by_call.setdefault(id(item.call), []).append(item)
        if error.upstream_status in REFUSED and len(by_call) > 1:
            return list(by_call.values())
    for item in items:
        item.call.fail(error)
    return []
