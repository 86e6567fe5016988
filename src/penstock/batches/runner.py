"""A batch from its beginning to its end: its file is checked, its lines are asked, its results are written.

validating ─▶ in_progress ─▶ finalizing ─▶ completed
     │             ├─ its window is over ─▶ finalizing ─▶ expired
     │             ├─ its key has ended ──▶ finalizing ─▶ failed
     │             └─ cancelling ─────────────────────▶ cancelled
     └─ no line can be asked ─▶ failed

Each step begins from what the database says, so that it can be the first of a new process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from penstock.batches import repository
from penstock.batches.files.store import FileStore
from penstock.batches.files.values import NewFile, StoredFile
from penstock.batches.lines import InputReader, body_of, not_asked
from penstock.batches.native import NativeBatches
from penstock.batches.results import Written, write_results
from penstock.batches.run import BatchRun, Surroundings, piece
from penstock.batches.values import OVER, Batch, BatchError, Line, Result, Status
from penstock.config.batches import BatchSettings
from penstock.errors import NotFound, StorageError, Unauthenticated
from penstock.jobs import repository as jobs
from penstock.jobs.values import Job

PAGE = 500
"""Lines of an input that are read and stored together."""
DAY_SECONDS = 86_400
MESSAGES = {
    "batch_expired": "This request could not be executed before the completion window expired.",
    "batch_cancelled": "This request was not executed, because the batch was cancelled before.",
}
INTERRUPTED = BatchError(
    code="interrupted",
    message="The server was stopped twice while this request was in progress. It may have been executed.",
)


class BatchRunner:
    """Works on one batch when it is called (`jobs.values.Handler`). `longest` is the most bytes of a line."""

    def __init__(
        self,
        files: FileStore,
        around: Surroundings,
        native: NativeBatches,
        settings: BatchSettings,
        longest: int,
    ) -> None:
        self._files = files
        self._native = native
        self._around = around
        self._settings = settings
        self._longest = longest
        self._store = around.store

    async def __call__(self, job: Job) -> None:
        batch = await self._find(job.id)
        if batch is None or batch.status in OVER:
            await self._store.write(partial(jobs.remove, id=job.id))
            return
        if batch.status == "validating":
            batch = await self._validate(batch)
        if batch.status in OVER:
            return
        refused = self._refused(batch)
        if batch.status in ("in_progress", "cancelling") and self._native.takes(batch):
            stops = batch.status == "cancelling" or batch.expires_us <= self._around.clock.now_us()
            outcome = await self._native.work(batch, self._path(batch), stops=stops or refused is not None)
            if outcome == "later":
                return
        else:
            outcome = "local"
        if outcome == "local" and batch.status == "in_progress":
            refused = await self._work(batch)
        await self._finalize(batch.id, refused)

    def _refused(self, batch: Batch) -> Unauthenticated | None:
        """Why the batch may not go on in its principal's name."""
        try:
            self._around.standing(batch.principal)
        except Unauthenticated as error:
            return error
        return None

    async def _find(self, id: str) -> Batch | None:
        return await self._store.read(partial(repository.find, id=id))

    async def _present(self, id: str) -> Batch:
        batch = await self._find(id)
        assert batch is not None, "a batch is forgotten only when it is over"
        return batch

    async def _validate(self, batch: Batch) -> Batch:
        """Reads the lines, from the beginning where a process was killed while it did."""
        try:
            file, path = await self._files.content(batch.project_id, batch.input_file_id)
        except (NotFound, StorageError) as error:
            return await self._fail(batch, [BatchError(code="input_file_missing", message=str(error))])
        await self._store.write(partial(repository.forget_lines, batch_id=batch.id))
        reader = InputReader(path, batch.endpoint, self._longest)
        lines = reader.read()
        while page := await asyncio.to_thread(lambda: list(islice(lines, PAGE))):
            if reader.total > self._settings.max_lines:
                return await self._fail(batch, [too_many(self._settings.max_lines)])
            put = partial(
                repository.put_lines,
                batch_id=batch.id,
                lines=[each for each in page if isinstance(each, Line)],
                results=[each for each in page if isinstance(each, Result)],
            )
            await self._store.write(put)
        if reader.sha256 != file.sha256:
            return await self._fail(batch, [DAMAGED])
        if not reader.valid:
            return await self._fail(batch, reader.errors or [EMPTY])
        counts = {"total": reader.total, "failed": reader.total - reader.valid, "model": reader.model}
        now = self._around.clock.now_us()
        await self._store.write(partial(repository.validated, id=batch.id, counts=counts, now_us=now))
        return await self._present(batch.id)

    async def _fail(self, batch: Batch, errors: Sequence[BatchError]) -> Batch:
        now = self._around.clock.now_us()
        values = {"status": "failed", "failed_us": now, "errors": tuple(errors)}
        await self._store.write(partial(repository.end, id=batch.id, values=values, written=()))
        return await self._present(batch.id)

    async def _work(self, batch: Batch) -> Unauthenticated | None:
        """Asks what is left to be asked; returns why it was not all, where that was the key."""
        path = self._path(batch)
        for line in await self._store.write(partial(repository.resume, batch_id=batch.id)):
            await self._give_up(batch, line, INTERRUPTED)
        run = BatchRun(batch, path, self._around)
        await run.work()
        return run.refused

    async def _finalize(self, id: str, refused: Unauthenticated | None) -> None:
        batch = await self._present(id)
        left = await self._left(id, 0)
        now = self._around.clock.now_us()
        if batch.status == "in_progress":
            values: dict[str, Any] = {"status": "finalizing", "finalizing_us": now}
            if refused is not None:
                values["errors"] = (BatchError(code=refused.code, message=str(refused)),)
            elif left and now >= batch.expires_us:
                values["expired_us"] = now
            elif left:
                return  # it goes on with the next call
            await self._store.write(partial(repository.change, id=id, was=("in_progress",), values=values))
            batch = await self._present(id)
        reason = unfinished_because(batch)
        while left:
            for line in left:
                await self._give_up(batch, line, reason)
            left = await self._left(id, left[-1].number)
        await self._end(await self._present(id))

    async def _left(self, id: str, after: int) -> Sequence[Line]:
        return await self._store.read(partial(repository.unfinished, batch_id=id, after=after))

    async def _give_up(self, batch: Batch, line: Line, error: BatchError) -> None:
        custom_id = await asyncio.to_thread(custom_id_of, self._path(batch), line)
        result = not_asked(line.number, custom_id, error)
        await self._store.write(partial(repository.finish, batch_id=batch.id, result=result))

    async def _end(self, batch: Batch) -> None:
        """Writes the files and ends the batch, in one transaction."""
        written = await self._store.read(
            lambda connection: write_results(repository.results(connection, batch.id), self._files.begin)
        )
        try:
            status, named = end_of(batch)
            values: dict[str, Any] = {"status": status, named: self._around.clock.now_us()}
            kept = await self._keep(batch, written)
            values |= {f"{what}_file_id": file.id for what, file in kept.items()}
            files = list(kept.values())
            await self._store.write(partial(repository.end, id=batch.id, values=values, written=files))
        finally:
            for part in written.parts:
                part.close()

    async def _keep(self, batch: Batch, written: Written) -> dict[str, StoredFile]:
        seconds = batch.output_seconds or self._settings.keep_days * DAY_SECONDS
        kept = {}
        for what, part in (("output", written.output), ("error", written.errors)):
            if part is not None:
                new = NewFile(
                    project_id=batch.project_id,
                    purpose="batch_output",
                    filename=f"{batch.id}_{what}.jsonl",
                    seconds=seconds,
                )
                kept[what] = self._files.stored(part, await asyncio.to_thread(part.keep), new)
        return kept

    def _path(self, batch: Batch) -> Path:
        return self._files.path_of(batch.input_file_id)


def end_of(batch: Batch) -> tuple[Status, str]:
    """How a batch ends, and the column of when."""
    if batch.status == "cancelling":
        return "cancelled", "cancelled_us"
    if batch.errors:
        return "failed", "failed_us"
    if batch.expired_us is not None:
        return "expired", "expired_us"
    return "completed", "completed_us"


def unfinished_because(batch: Batch) -> BatchError:
    """What stands in the error file for lines that were not asked."""
    if batch.errors and batch.status != "cancelling":
        return batch.errors[0]
    code = "batch_cancelled" if batch.status == "cancelling" else "batch_expired"
    return BatchError(code=code, message=MESSAGES[code])


def custom_id_of(path: Path, line: Line) -> str | None:
    """`None` where the file is gone."""
    try:
        return body_of(piece(path, line))[0]
    except OSError:
        return None


def too_many(most: int) -> BatchError:
    return BatchError(
        code="too_many_requests_in_batch",
        message=f"The file has more than {most} lines. Split it, or raise max_lines under [batches].",
    )


DAMAGED = BatchError(
    code="input_file_damaged",
    message="The content of the input file is not what was sent: its checksum differs. Send it again.",
)
EMPTY = BatchError(code="empty_file", message="The input file has no lines. Each request is a line of JSON.")
