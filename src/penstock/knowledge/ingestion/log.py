"""The runs of a knowledge base: each is written down before it begins, while it works, and when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from msgspec.structs import replace

from penstock.clock import Clock
from penstock.errors import Conflict, NotFound, PenstockError, StorageError, StorageFull
from penstock.ids import new_id
from penstock.knowledge.ingestion.records import OVER, Run, RunError, RunOptions, RunRules, RunState, Trigger
from penstock.knowledge.stores import runs
from penstock.knowledge.stores.sqlite import SqliteStore
from penstock.knowledge.values import IngestProgress, IngestSummary, Progress
from penstock.storage.database import Write

T = TypeVar("T")
BEAT_SECONDS = 0.5
"""Between two notes of how far a run is, and two looks whether it was cancelled."""

STOPPED = RunError("unavailable", "It was stopped.", "The next run goes on from there.")

Doing = Callable[[Progress], Awaitable[IngestSummary]]


class RunLog:
    """Methods raise `StorageFull` or `StorageError`."""

    def __init__(self, store: SqliteStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def latest(self, limit: int = 20) -> list[Run]:
        """The last runs, newest first."""
        return await self._read(lambda connection: runs.latest(connection, self._store.project_id, limit))

    async def find(self, id: str) -> Run | None:
        return await self._read(lambda connection: runs.get(connection, self._store.project_id, id))

    async def get(self, id: str) -> Run:
        """Raises `NotFound`."""
        run = await self.find(id)
        if run is None:
            raise NotFound(
                f"There is no run {id[:80]!r}.", hint="`penstock knowledge runs` lists them.", param="id"
            )
        return run

    async def options(self, id: str) -> RunOptions:
        return await self._read(lambda connection: runs.options_of(connection, self._store.project_id, id))

    async def add(self, trigger: Trigger, options: RunOptions, id: str | None = None) -> Run:
        """A run that is to be done."""
        run = Run(id=id or new_id("run"), trigger=trigger, state="queued", created_at=self._clock.now_us())
        project = self._store.project_id
        await self._store.database.write(lambda connection: runs.add(connection, project, run, options))
        return run

    async def queued(self, rules: RunRules) -> Run | None:
        """A durable run that was asked for in the same way and has not begun: it will see all that is there now."""
        options, project = RunOptions(rules, durable=True), self._store.project_id
        return await self._read(lambda connection: runs.queued(connection, project, options))

    async def cancel(self, id: str) -> Run:
        """A run that has not begun never does; one at work ends soon, and nothing of it is published.

        Raises `NotFound`, and `Conflict` for one that is over, or has published its generation.
        """
        now, project = self._clock.now_us(), self._store.project_id
        done = await self._store.database.write(lambda connection: runs.cancel(connection, project, id, now))
        run = await self.get(id)
        if not done:
            state = run.state if run.state in OVER else "published"
            raise Conflict(f"Run {id} is {state}, and cannot be cancelled any more.")
        return run

    async def over(self, id: str, look_seconds: float = 0.05) -> Run:
        """The run once it is over, whichever process does it."""
        while (run := await self.get(id)).state not in OVER:  # noqa: ASYNC110 — another process may do it
            await asyncio.sleep(look_seconds)
        return run

    async def work(self, id: str, doing: Doing, progress: Progress) -> IngestSummary:
        """Does a run and keeps book of it.

        Raises what `doing` raises, and `Conflict` for a run that was cancelled. A durable run that is itself
        cancelled, as at the end of its process, stays open and is done again.
        """
        now, project = self._clock.now_us(), self._store.project_id
        if not await self._store.database.write(lambda connection: runs.start(connection, project, id, now)):
            raise runs.cancelled(id)
        beat = Beat(progress)
        task = asyncio.ensure_future(doing(beat.note))
        beating = asyncio.create_task(self._beat(id, beat, task))
        try:
            summary = await task
        except asyncio.CancelledError:
            if beat.unwanted:
                raise runs.cancelled(id) from None
            if not (await asyncio.shield(self.options(id))).durable:
                await asyncio.shield(self._end(id, "cancelled", error=STOPPED))
            raise
        except PenstockError as error:
            await self._fail(id, RunError(error.code, error.message, error.hint))
            raise
        except BaseException as error:
            await self._fail(id, RunError("internal_error", f"{type(error).__name__}: {error}"))
            raise
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
        await self._end(id, "partial" if summary.sources else "done", report=summary)
        return summary

    async def _beat(self, id: str, beat: Beat, task: asyncio.Future[IngestSummary]) -> None:
        project = self._store.project_id
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            seen = beat.last
            try:
                wanted = await self._store.database.write(
                    lambda connection, seen=seen: runs.progress(connection, project, id, seen)  # type: ignore[misc]
                )
            except (StorageFull, StorageError):
                continue  # the run finds out by itself
            if not wanted:
                beat.unwanted = True
                task.cancel()
                return

    async def _fail(self, id: str, error: RunError) -> None:
        try:
            await self._end(id, "failed", error=error)
        except (StorageFull, StorageError):
            return  # what made the run fail is told to whoever waits for it

    async def _end(
        self, id: str, state: RunState, *, error: RunError | None = None, report: IngestSummary | None = None
    ) -> None:
        now, project = self._clock.now_us(), self._store.project_id
        run = replace(await self.get(id), state=state, error=error, report=report, ended_at=now)
        await self._store.database.write(lambda connection: runs.finish(connection, project, run))

    async def _read(self, query: Write[T]) -> T:
        def work() -> T:
            with self._store.database.read() as connection:
                return query(connection)

        return await asyncio.to_thread(work)


class Beat:
    """What a run said last."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.last: IngestProgress | None = None
        self.unwanted = False

    def note(self, progress: IngestProgress) -> None:
        self.last = progress
        self._progress(progress)


def summary_of(run: Run) -> IngestSummary:
    """What a run that is over came to. Raises the error that it ended in, or `Conflict` where it was cancelled."""
    if run.report is not None:
        return run.report
    if run.state == "cancelled" or run.error is None:
        raise runs.cancelled(run.id)
    kind = next((each for each in kinds_of(PenstockError) if each.code == run.error.code), PenstockError)
    raise kind(run.error.message, hint=run.error.hint)


def kinds_of(kind: type[PenstockError]) -> Iterator[type[PenstockError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from kinds_of(each)
