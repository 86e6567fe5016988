"""`penstock knowledge verify`: whether everything still is what was written, and putting right what is not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from msgspec import Struct
from msgspec.structs import replace

from penstock.errors import Unavailable
from penstock.knowledge.stores import checks, repairs
from penstock.knowledge.stores.checks import Difference
from penstock.knowledge.stores.external.mirror import Mirror
from penstock.knowledge.stores.fingerprint import content_hash
from penstock.knowledge.stores.publishing import newest, published
from penstock.knowledge.stores.sqlite import SqliteStore
from penstock.knowledge.stores.vectors import sidecar

__all__ = ["Difference", "Verification", "Verifier"]


class Verification(Struct, frozen=True, kw_only=True):
    """What differed, and what still does after a repair. `generation` is the published one."""

    generation: int
    differences: tuple[Difference, ...]
    repaired: bool = False
    left: tuple[Difference, ...] = ()

    @property
    def sound(self) -> bool:
        return not (self.left if self.repaired else self.differences)


class Verifier:
    """Checks of one store. Nobody may write to it while they go on."""

    def __init__(self, store: SqliteStore, mirror: Mirror | None = None) -> None:
        self._store = store
        self._mirror = mirror

    async def check(self) -> Verification:
        """Reads everything once, and asks which passages are elsewhere. Raises `StorageError` for a file that is no
        database any more."""
        found = await asyncio.to_thread(self._check)
        if self._mirror is None:
            return found
        return replace(found, differences=(*found.differences, *await self._mirror.differences()))

    def _check(self) -> Verification:
        project = self._store.project_id
        with self._store.database.read() as connection:
            found = checks.differences(connection, project)
            number = published(connection, project).number
        return Verification(generation=number, differences=(*found, *self._sidecar()))

    async def repair(self, take_in: Callable[[], Awaitable[object]], forget: Callable[[], None]) -> Verification:
        """Puts right what differs: `take_in` does an ordinary run, which reads only what was marked, and `forget`
        drops what searches have in memory. Generations that cannot be put right are dropped, except the published
        one. Raises what a run raises.
        """
        before = await self.check()
        found = before.differences
        if not found:
            return before
        project = self._store.project_id
        await self._store.database.write(lambda connection: repairs.mend(connection, project, found))
        await asyncio.to_thread(forget)
        if any(each.part in ("document", "generation", "vector", "left over") for each in found):
            await take_in()
            await self._drop_damaged(found)
        left = (await asyncio.to_thread(self._check)).differences
        if left:  # what the run itself changed rows of
            await self._store.database.write(lambda connection: repairs.mend(connection, project, left))
        if self._mirror is not None:
            with suppress(Unavailable):  # what is left says so
                await self._mirror.mend()
        left = (await self.check()).differences
        with self._store.database.read() as connection:
            number = published(connection, project).number
        return Verification(generation=number, differences=found, repaired=True, left=left)

    def content_hash(self, number: int | None = None) -> str:
        """What two runs over the same files agree on, of a generation; by default of the newest."""
        project = self._store.project_id
        with self._store.database.read() as connection:
            return content_hash(connection, project, newest(connection, project) if number is None else number)

    async def _drop_damaged(self, found: Sequence[Difference]) -> None:
        project = self._store.project_id
        documents = [each.row for each in found if each.part == "document"]
        again = (await asyncio.to_thread(self._check)).differences
        numbers = [each.row for each in (*found, *again) if each.part == "generation" and each.row]
        numbers += [
            int(each.subject.rpartition(" ")[2]) for each in again if each.part == "vector" and not each.row
        ]
        await self._store.database.write(
            lambda connection: repairs.drop_damaged(connection, project, documents, numbers)
        )

    def _sidecar(self) -> list[Difference]:
        path = self._store.path.with_suffix(".hnsw")
        if not path.exists() or sidecar.read(path) is not None:
            return []
        return [Difference("sidecar", path.name, "it is not what was written; it is made again from the vectors")]
