"""Gaps of one data folder: collected from traces, asked again after each ingestion, dismissed by people."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.errors import NotFound
from penstock.knowledge.gaps import repository
from penstock.knowledge.gaps.values import (
    Collected,
    Gap,
    GapQuestion,
    GapReason,
    GapState,
    Judge,
    NewQuestion,
    Place,
    Rechecked,
)
from penstock.seams import Embedder
from penstock.storage.database import Database, Write
from penstock.storage.location import open_database
from penstock.traces.span import TraceDetail, TraceFilter, TraceSummary
from penstock.traces.store import TraceStore

T = TypeVar("T")

SCHEMA = "gaps"
DAY_US = 86_400_000_000
MOST_TRACES = 2_000
"""Looked at in one go, of each reason; the newest."""
PAGE = 500
MOST_ASKED = 500
"""Questions asked again after one ingestion."""
LONGEST = 2_000
MOST_LISTED = 500
UNSUPPORTED = 0.5
"""An answer of whose claims less is supported is a gap, too."""


class GapStore:
    """`gaps.db` of a data folder. Methods raise `StorageFull` or `StorageError`."""

    def __init__(self, database: Database, traces: TraceStore, clock: Clock) -> None:
        self._database = database
        self._traces = traces
        self._clock = clock
        self._collecting = asyncio.Lock()

    @classmethod
    def open(cls, folder: Path, traces: TraceStore, clock: Clock = SYSTEM_CLOCK) -> GapStore:
        return cls(open_database(folder, SCHEMA), traces, clock)

    def close(self) -> None:
        self._database.close()

    async def collect(self, project_id: str, knowledge: str, embedder: Embedder, *, days: int) -> Collected:
        """Puts the questions of the last `days` that had no good answer into gaps; each question once."""
        place = Place(project_id=project_id, knowledge=knowledge, fingerprint=embedder.fingerprint)
        async with self._collecting:
            found = [
                question
                for question in await self._questions(place, self._clock.now_us() - days * DAY_US)
                if question.text.strip()
            ]
            new = await self._read(
                lambda connection: repository.unknown(
                    connection, project_id, [question.trace_id for question in found]
                )
            )
            wanted = [question for question in reversed(found) if question.trace_id in new]
            if not wanted:
                return Collected(0, 0)
            embedded = await embedder.embed([question.text for question in wanted], kind="query")
            pairs = list(zip(wanted, embedded.vectors, strict=True))
            now = self._clock.now_us()
            touched = await self._database.write(lambda connection: repository.add(connection, place, pairs, now))
            return Collected(len(wanted), touched)

    async def recheck(self, knowledge: str, judge: Judge) -> Rechecked:
        """Asks what is open again, and closes the gaps whose every question is answered now."""
        waiting = await self._read(lambda connection: repository.to_ask(connection, knowledge, MOST_ASKED))
        done = generation = 0
        for question in waiting:
            verdict = await judge(question.text, question.reader)
            generation = verdict.generation
            if question.closed_by(verdict):
                done += 1
                await self._database.write(
                    partial(repository.answered, question=question, generation=verdict.generation)
                )
        now = self._clock.now_us()
        closed = await self._database.write(
            lambda connection: repository.close_answered(connection, knowledge, generation, now)
        )
        return Rechecked(len(waiting), done, closed)

    async def gaps(
        self, project_id: str, knowledge: str, state: GapState | None = "open", limit: int = 100
    ) -> list[Gap]:
        """Gaps of a project about one knowledge, those that are asked most first; `None` is any state."""
        wanted = repository.of(project_id, knowledge, state)
        return await self._read(lambda connection: repository.listed(connection, wanted, min(limit, MOST_LISTED)))

    async def get(self, project_id: str, knowledge: str, gap_id: str) -> tuple[Gap, list[GapQuestion]]:
        """A gap with its newest questions. Raises `NotFound`."""
        wanted = repository.of(project_id, knowledge, None, gap_id)
        found = await self._read(lambda connection: repository.listed(connection, wanted, 1))
        if not found:
            raise no_such_gap(gap_id)
        asked = await self._read(
            lambda connection: repository.questions(connection, project_id, gap_id, MOST_LISTED)
        )
        return found[0], asked

    async def set_state(self, gap: Gap, state: GapState, note: str = "") -> None:
        """Dismisses a gap, or opens it again."""
        now = self._clock.now_us()
        await self._database.write(partial(repository.set_state, gap=gap, state=state, note=note, now_us=now))

    async def prune(self, days: int) -> None:
        """Forgets questions as old as the traces that are deleted."""
        before = self._clock.now_us() - days * DAY_US
        await self._database.write(lambda connection: repository.prune(connection, before))

    async def _questions(self, place: Place, since_us: int) -> list[NewQuestion]:
        """Newest first; a trace that is there for two reasons has the first of them."""
        found: dict[str, NewQuestion] = {}
        for reason, wanted in reasons(place.project_id, since_us):
            for summary in await self._pages(wanted):
                if summary.knowledge == place.knowledge and summary.id not in found:
                    detail = await self._traces.get(summary.id, place.project_id)
                    if detail is not None and summary.question:
                        found[summary.id] = question_of(summary, detail, reason)
        return sorted(found.values(), key=lambda question: -question.asked_us)

    async def _pages(self, wanted: TraceFilter) -> list[TraceSummary]:
        summaries: list[TraceSummary] = []
        cursor: str | None = None
        while len(summaries) < MOST_TRACES:
            page = await self._traces.list(wanted, PAGE, cursor)
            summaries.extend(page.traces)
            cursor = page.next_cursor
            if cursor is None:
                break
        return summaries

    async def _read(self, query: Write[T]) -> T:
        def run() -> T:
            with self._database.read() as connection:
                return query(connection)

        return await asyncio.to_thread(run)


def reasons(project_id: str, since_us: int) -> Sequence[tuple[GapReason, TraceFilter]]:
    """Why a trace's question is in a gap, with the traces it is true of."""
    return (
        ("unanswered", TraceFilter(project_id=project_id, since_us=since_us, answered=False)),
        ("unsupported", TraceFilter(project_id=project_id, since_us=since_us, grounded_below=UNSUPPORTED)),
        ("disliked", TraceFilter(project_id=project_id, since_us=since_us, feedback="negative")),
    )


def question_of(summary: TraceSummary, detail: TraceDetail, reason: GapReason) -> NewQuestion:
    return NewQuestion(
        trace_id=summary.id,
        text=(summary.question or "")[:LONGEST],
        reason=reason,
        asked_us=summary.started_us,
        tags=tags_of(detail),
    )


def tags_of(detail: TraceDetail) -> tuple[str, ...] | None:
    """The tags of who asked, as the search for their question noted them; `None` for who may find everything."""
    for span in detail.spans:
        if span.kind == "retriever" and (tags := span.values().get("penstock.reader")) is not None:
            return tuple(map(str, tags))
    return None


def no_such_gap(gap_id: str) -> NotFound:
    return NotFound(f"There is no gap {gap_id[:80]!r}.", hint="List them: penstock knowledge gaps.", param="gap_id")
