"""What came of looking at one document that may have changed, and the line in which such outcomes wait."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from msgspec import Struct

from penstock.knowledge.ingestion.plan import Work
from penstock.knowledge.loaders.messages import ReadResult
from penstock.knowledge.stores.writes import Known

AHEAD_CHARACTERS = 8_000_000
"""Text read ahead of the encoder; a longer document waits alone."""

LONGEST_LINE = 512


class Unchanged(Struct, frozen=True):
    """The content is what it was; only what tells so has changed."""

    work: Work


class Shared(Struct, frozen=True):
    """The content is that of a document which is known, under whatever path."""

    work: Work
    known: Known


class Read(Struct, frozen=True):
    """The document was read, or could not be."""

    work: Work
    result: ReadResult


Outcome = Unchanged | Shared | Read


class Line:
    """Outcomes in the order of the plan, whatever the order in which they come about, so that a run ends the same
    with any number of readers. `room` bounds the text in it."""

    def __init__(self) -> None:
        self._tasks: asyncio.Queue[asyncio.Task[Outcome] | None] = asyncio.Queue(LONGEST_LINE)
        self._characters = 0
        self._room = asyncio.Event()
        self._room.set()
        self._coming: set[asyncio.Task[Outcome]] = set()

    async def room(self) -> None:
        """Returns when another document may be read."""
        await self._room.wait()

    async def put(self, coming: Coroutine[Any, Any, Outcome]) -> None:
        """Adds what is still coming."""
        task = asyncio.create_task(self._weighed(coming))
        self._coming.add(task)
        await self._tasks.put(task)

    async def end(self) -> None:
        await self._tasks.put(None)

    async def get(self) -> Outcome | None:
        """The next one; `None` at the end. Raises what reading it raised."""
        task = await self._tasks.get()
        if task is None:
            return None
        # Whoever waits may be cancelled; what is waited for could take that for its own, and swallow it.
        outcome = await asyncio.shield(task)
        self._coming.discard(task)
        self._weigh(-weight(outcome))
        return outcome

    async def close(self) -> None:
        """Ends what is still coming and nobody waits for."""
        for task in self._coming:
            task.cancel()
        await asyncio.gather(*self._coming, return_exceptions=True)

    async def _weighed(self, coming: Coroutine[Any, Any, Outcome]) -> Outcome:
        outcome = await coming
        self._weigh(weight(outcome))
        return outcome

    def _weigh(self, characters: int) -> None:
        self._characters += characters
        if self._characters < AHEAD_CHARACTERS:
            self._room.set()
        else:
            self._room.clear()


def weight(outcome: Outcome) -> int:
    return len(outcome.result.text) + 1000 if isinstance(outcome, Read) else 0
