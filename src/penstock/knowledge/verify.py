"""`penstock knowledge verify`: whether everything still is what was written, and putting right what is not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from msgspec import Struct

from penstock.errors import StorageError, Unavailable
from penstock.knowledge.stores import checks, repairs
from penstock.knowledge.stores.checks import Checking, Difference, Tell
from penstock.knowledge.stores.external.mirror import Mirror
from penstock.knowledge.stores.fingerprint import content_hash
from penstock.knowledge.stores.publishing import newest
from penstock.knowledge.stores.sqlite import SqliteStore
from penstock.knowledge.stores.vectors import sidecar

__all__ = ["Checking", "Difference", "Tell", "Verification", "VerificationReport", "Verifier", "untold"]

MOST = 1_000
"""Differences in a report."""


class VerificationReport(Struct, frozen=True, kw_only=True):
    """What came of a check. `found` differences there were, of which the first thousand are named; after a repair
    `remaining` are left, named in `left`. `generation` is the published one."""

    generation: int
    sound: bool
    found: int
    differences: tuple[Difference, ...]
    repaired: bool
    remaining: int
    left: tuple[Difference, ...]


class Verification(Struct, frozen=True, kw_only=True):
    """What differed, and what still does after a repair. `generation` is the published one."""

    generation: int
    differences: tuple[Difference, ...]
    repaired: bool = False
    left: tuple[Difference, ...] = ()

    @property
    def sound(self) -> bool:
        return not (self.left if self.repaired else self.differences)

    def report(self) -> VerificationReport:
        return VerificationReport(
            generation=self.generation,
            sound=self.sound,
            found=len(self.differences),
            differences=self.differences[:MOST],
            repaired=self.repaired,
            remaining=len(self.left),
            left=self.left[:MOST],
        )


class Abandoned(Exception):
    """Ends the thread of a check that nobody waits for any more."""


def untold(at: Checking) -> None:
    """Where nobody watches."""


class Verifier:
    """Checks of one store. Nobody may take documents in while they go on; searches may."""

    def __init__(self, store: SqliteStore, mirror: Mirror | None = None) -> None:
        self._store = store
        self._mirror = mirror

    async def check(self, tell: Tell = untold) -> Verification:
        """Reads everything once, here and elsewhere. `tell` is called from another thread. Raises `StorageError`
        for a file that is no database any more."""
        found = await self._differences(tell)
        if self._mirror is not None:
            total = await asyncio.to_thread(self._passages)
            found += await self._mirror.differences(lambda done: tell(Checking("elsewhere", done, total)))
        return Verification(generation=self._store.published().number, differences=tuple(found))

    async def repair(
        self, take_in: Callable[[], Awaitable[object]], forget: Callable[[], None], tell: Tell = untold
    ) -> Verification:
        """Puts right what differs: `take_in` does an ordinary run, which reads only what was marked, and `forget`
        drops what searches have in memory. Generations that cannot be put right are dropped, except the published
        one. Raises what a run raises.
        """
        before = await self.check(tell)
        found = before.differences
        if not found:
            return before
        project = self._store.project_id
        await self._store.database.write(lambda connection: repairs.mend(connection, project, found))
        await asyncio.to_thread(forget)
        if any(each.part in ("document", "generation", "vector", "left over") for each in found):
            await take_in()
            await self._drop_damaged(found, tell)
            await asyncio.to_thread(forget)  # the number of a generation that was dropped may come again
        left = await self._differences(tell)
        if left:  # what the run itself changed rows of
            await self._store.database.write(lambda connection: repairs.mend(connection, project, left))
        if self._mirror is not None:
            with suppress(Unavailable, StorageError):  # what is left says so
                await self._mirror.mend()
        after = await self.check(tell)
        return Verification(generation=after.generation, differences=found, repaired=True, left=after.differences)

    def content_hash(self, number: int | None = None) -> str:
        """What two runs over the same files agree on, of a generation; by default of the newest."""
        project = self._store.project_id
        with self._store.database.read() as connection:
            return content_hash(connection, project, newest(connection, project) if number is None else number)

    async def _drop_damaged(self, found: Sequence[Difference], tell: Tell) -> None:
        project = self._store.project_id
        documents = [each.row for each in found if each.part == "document"]
        again = await self._differences(tell)
        numbers = [each.row for each in (*found, *again) if each.part == "generation" and each.row]
        numbers += [
            int(each.subject.rpartition(" ")[2]) for each in again if each.part == "vector" and not each.row
        ]
        await self._store.database.write(
            lambda connection: repairs.drop_damaged(connection, project, documents, numbers)
        )

    async def _differences(self, tell: Tell) -> list[Difference]:
        """What differs here. One who stops waiting for it ends it."""
        abandoned = threading.Event()

        def told(at: Checking) -> None:
            if abandoned.is_set():
                raise Abandoned
            tell(at)

        tell(Checking("words"))
        words = await self._store.database.write(lambda connection: list(checks.words(connection)))
        try:
            return [*words, *await asyncio.to_thread(self._read, told)]
        except asyncio.CancelledError:
            abandoned.set()
            raise

    def _read(self, tell: Tell) -> list[Difference]:
        with self._store.database.read() as connection:
            return [*checks.differences(connection, self._store.project_id, tell), *self._sidecar()]

    def _passages(self) -> int:
        with self._store.database.read() as connection:
            return checks.size(connection, self._store.project_id, "chunk")

    def _sidecar(self) -> list[Difference]:
        path = sidecar.path_of(self._store.path, self._store.project_id)
        if not path.exists() or sidecar.read(path) is not None:
            return []
        return [Difference("sidecar", path.name, "it is not what was written; it is made again from the vectors")]
