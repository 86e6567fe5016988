"""Batches as a project asks for them: made, looked at, cancelled; and the files that go with them."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Collection, Sequence
from functools import partial

from penstock.access.principal import permits
from penstock.batches import repository
from penstock.batches.files.store import FileStore
from penstock.batches.values import Batch, NewBatch
from penstock.clock import Clock
from penstock.config.batches import BatchSettings
from penstock.errors import Conflict, Forbidden, InvalidRequest, NotFound, PenstockError, RateLimited
from penstock.exchange import Principal
from penstock.ids import new_id
from penstock.jobs.store import JobStore
from penstock.jobs.worker import Worker

logger = logging.getLogger(__name__)

WINDOW = re.compile(r"([1-9]\d{0,4})([mhd])")
SECONDS = {"m": 60, "h": 3600, "d": 86_400}
LONGEST_WINDOW = 30 * 86_400
MOST_METADATA, MOST_KEY, MOST_VALUE = 16, 64, 512
MOST_OPEN = 1000
"""Batches of a project that may be under way at a time."""
PRUNE_SECONDS = 3600.0
DAY_US = 86_400_000_000


class Batches:
    """What a project asked for, no other can see. `endpoints` are the paths that lines may ask."""

    def __init__(
        self, files: FileStore, store: JobStore, worker: Worker, settings: BatchSettings, clock: Clock
    ) -> None:
        self.files = files
        self.settings = settings
        self._store = store
        self._worker = worker
        self._clock = clock

    async def create(self, principal: Principal, new: NewBatch, endpoints: Collection[str]) -> Batch:
        """Promises to answer the lines of a file.

        Raises `InvalidRequest`, `NotFound`, `Forbidden` or `RateLimited`.
        """
        seconds = check(new, endpoints)
        if not permits(principal.routes, new.endpoint):
            raise Forbidden(
                f"The key {principal.name!r} may not use {new.endpoint}.",
                hint=f"It may use {', '.join(principal.routes)}.",
            )
        file = await self.files.get(principal.project_id, new.input_file_id)
        if file.purpose != "batch":
            raise InvalidRequest(
                f"File {file.id} is for {file.purpose!r}.",
                hint="Send it with purpose='batch'.",
                param="input_file_id",
            )
        if await self._store.read(partial(repository.count_open, project_id=principal.project_id)) >= MOST_OPEN:
            raise RateLimited(
                f"Project {principal.project_id!r} has {MOST_OPEN} batches under way, the most at a time.",
                hint="Wait until one is over, or put more lines into each.",
                retry_after=60.0,
            )
        now = self._clock.now_us()
        batch = Batch(
            id=new_id("batch"),
            project_id=principal.project_id,
            principal=principal,
            endpoint=new.endpoint,
            input_file_id=file.id,
            completion_window=new.completion_window,
            metadata=new.metadata,
            output_seconds=new.output_seconds,
            created_us=now,
            expires_us=now + seconds * 1_000_000,
        )
        await self._store.write(partial(repository.submit, batch=batch))
        self._worker.wake()
        return batch

    async def get(self, project_id: str, id: str) -> Batch:
        """Raises `NotFound`, also for another project's."""
        found = None
        if self._store.exists:
            found = await self._store.read(partial(repository.get, project_id=project_id, id=id))
        if found is None:
            raise missing(id)
        return found

    async def page(
        self, project_id: str, after: str | None = None, limit: int = 20
    ) -> tuple[Sequence[Batch], bool]:
        """A page of batches, the newest first, and whether there are more."""
        if not self._store.exists:
            return (), False
        found = await self._store.read(partial(repository.page, project_id=project_id, after=after, limit=limit))
        return found[:limit], len(found) > limit

    async def cancel(self, project_id: str, id: str) -> Batch:
        """Lines in flight end, no other begins. Raises `NotFound`, and `Conflict` where all is over."""
        await self.get(project_id, id)
        now = self._clock.now_us()
        batch = await self._store.write(partial(repository.cancel, project_id=project_id, id=id, now_us=now))
        if batch is None:
            raise missing(id)
        if batch.status not in ("cancelling", "cancelled"):
            raise Conflict(f"Batch {id} is {batch.status}, and cannot be cancelled any more.")
        self._worker.wake()
        return batch

    async def work(self) -> None:
        """Works on batches until it is cancelled, and forgets the old ones."""
        pruning = asyncio.create_task(self._retain())
        try:
            await self._worker.run()
        finally:
            pruning.cancel()
            await asyncio.gather(pruning, return_exceptions=True)

    async def _retain(self) -> None:
        while True:
            try:
                await self.prune()
            except PenstockError as error:
                logger.error("old batches and files could not be deleted: %s", error)
            await asyncio.sleep(PRUNE_SECONDS)

    async def prune(self) -> None:
        """Deletes files whose time is over, and batches that ended `keep_days` ago."""
        if not self._store.exists:
            return
        await self.files.prune()
        before = self._clock.now_us() - self.settings.keep_days * DAY_US
        await self._store.write(partial(repository.prune, before_us=before))


def check(new: NewBatch, endpoints: Collection[str]) -> int:
    """The seconds of the window. Raises `InvalidRequest` for what is asked wrongly."""
    if new.endpoint not in endpoints:
        raise InvalidRequest(
            f"A batch cannot be for {new.endpoint[:100]!r}.",
            hint=f"It can be for {', '.join(sorted(endpoints))}.",
            param="endpoint",
        )
    match = WINDOW.fullmatch(new.completion_window)
    seconds = int(match[1]) * SECONDS[match[2]] if match else 0
    if not 0 < seconds <= LONGEST_WINDOW:
        raise InvalidRequest(
            f"'completion_window' {new.completion_window[:40]!r} is not a time of up to 30 days.",
            hint="Write 24h, 90m or 7d.",
            param="completion_window",
        )
    metadata = new.metadata
    if len(metadata) > MOST_METADATA or any(
        len(key) > MOST_KEY or len(value) > MOST_VALUE for key, value in metadata.items()
    ):
        raise InvalidRequest(
            f"'metadata' is too large: it may have {MOST_METADATA} entries, with names of up to {MOST_KEY} and "
            f"values of up to {MOST_VALUE} characters.",
            param="metadata",
        )
    return seconds


def missing(id: str) -> NotFound:
    return NotFound(
        f"There is no batch {id[:100]!r}.", hint="GET /v1/batches lists those of your project.", param="batch_id"
    )
