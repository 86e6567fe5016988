"""The files of one data folder: rows in `jobs.db`, contents in `files/`, each under its id."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from penstock.batches.files import repository
from penstock.batches.files.incoming import Incoming
from penstock.batches.files.values import FilePage, NewFile, StoredFile
from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.errors import Conflict, NotFound, StorageError, StorageFull
from penstock.ids import new_id
from penstock.jobs.store import JobStore

STRAY_SECONDS = 86_400.0
"""Content without a row is deleted when it is older: until then it may be on its way to one."""
PRUNE_BATCH = 200
MB = 1 << 20


class FileStore:
    """What a project sent, no other can see. Names and paths on disk come from ids that were made here only."""

    def __init__(self, store: JobStore, max_project_mb: float, clock: Clock = SYSTEM_CLOCK) -> None:
        self._store = store
        self._most = int(max_project_mb * MB)
        self._clock = clock
        self._folder = store.folder / "files"

    def path_of(self, id: str) -> Path:
        """Where the content of a file is. The id comes from a row, never from a request."""
        return self._folder / id

    async def receive(self) -> Incoming:
        """Where a new file is written to; pass it to `keep`, and close it in any case."""
        return await asyncio.to_thread(self.begin)

    def begin(self) -> Incoming:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        return Incoming(self._folder / new_id("file"))

    async def keep(self, incoming: Incoming, new: NewFile) -> StoredFile:
        """Keeps a file that came in whole. Raises `StorageFull` for a project that has too many."""
        used = await self._store.read(partial(repository.total_bytes, project_id=new.project_id))
        if used + incoming.size > self._most:
            raise StorageFull(
                f"The files of project {new.project_id!r} take {used / MB:.0f} MB, and this one is "
                f"{incoming.size / MB:.1f} MB: more than the {self._most / MB:.0f} MB that a project may have.",
                hint="Delete files, or raise max_project_mb under [batches] in penstock.toml.",
            )
        file = self.stored(incoming, await asyncio.to_thread(incoming.keep), new)
        await self._store.write(partial(repository.add, file=file))
        return file

    def stored(self, incoming: Incoming, sha256: bytes, new: NewFile) -> StoredFile:
        """The row of a file whose content is kept."""
        now = self._clock.now_us()
        return StoredFile(
            id=incoming.path.name,
            project_id=new.project_id,
            purpose=new.purpose,
            filename=new.filename,
            size=incoming.size,
            sha256=sha256,
            created_us=now,
            expires_us=None if new.seconds is None else now + new.seconds * 1_000_000,
        )

    async def get(self, project_id: str, id: str) -> StoredFile:
        """Raises `NotFound`, also for another project's and one that has expired."""
        found = await self._find(project_id, id)
        if found is None or not self._lasts(found):
            raise missing(id)
        return found

    async def page(self, wanted: FilePage) -> tuple[Sequence[StoredFile], bool]:
        """A page of files, and whether there are more."""
        if not self._store.exists:
            return (), False
        found = await self._store.read(partial(repository.page, wanted=wanted))
        shown = [file for file in found[: wanted.limit] if self._lasts(file)]
        return shown, len(found) > wanted.limit

    async def content(self, project_id: str, id: str) -> tuple[StoredFile, Path]:
        """A file and where its content is. Raises `NotFound` or `StorageError`."""
        file = await self.get(project_id, id)
        path = self.path_of(file.id)
        if not await asyncio.to_thread(path.is_file):
            raise StorageError(f"The content of file {id} is gone.", hint="Restore 'files' of the data folder.")
        return file, path

    async def delete(self, project_id: str, id: str) -> None:
        """Raises `NotFound`, and `Conflict` for a file that a batch reads."""
        await self.get(project_id, id)
        if not await self._store.write(partial(repository.remove_unread, id=id)):
            raise Conflict(f"A batch reads file {id}.", hint="Cancel the batch, or wait until it is over.")
        await asyncio.to_thread(self._unlink, [id])

    async def discard(self, ids: Sequence[str]) -> None:
        """Deletes files: the rows first, so that no row is without its content."""
        await self._store.write(partial(repository.remove, ids=ids))
        await asyncio.to_thread(self._unlink, ids)

    async def prune(self) -> int:
        """Deletes what has expired, and content that no row names; returns how many files."""
        if not self._store.exists:
            return 0
        deleted = 0
        while ids := await self._store.read(
            partial(repository.expired, now_us=self._clock.now_us(), limit=PRUNE_BATCH)
        ):
            await self.discard(ids)
            deleted += len(ids)
        stray = await asyncio.to_thread(self._old)
        for start in range(0, len(stray), PRUNE_BATCH):
            some = stray[start : start + PRUNE_BATCH]
            known = await self._store.read(partial(repository.known, ids=some))
            await asyncio.to_thread(self._unlink, [name for name in some if name not in known])
        return deleted

    async def _find(self, project_id: str, id: str) -> StoredFile | None:
        if not self._store.exists:
            return None
        return await self._store.read(partial(repository.get, project_id=project_id, id=id))

    def _lasts(self, file: StoredFile) -> bool:
        return file.expires_us is None or file.expires_us > self._clock.now_us()

    def _unlink(self, names: Sequence[str]) -> None:
        for name in names:
            (self._folder / name).unlink(missing_ok=True)

    def _old(self) -> list[str]:
        """The names of what was written a day ago or earlier."""
        if not self._folder.is_dir():
            return []
        before = time.time() - STRAY_SECONDS
        return [path.name for path in self._folder.iterdir() if path.stat().st_mtime < before]


def missing(id: str) -> NotFound:
    return NotFound(
        f"There is no file {id[:100]!r}.", hint="GET /v1/files lists those of your project.", param="file_id"
    )
