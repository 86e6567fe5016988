"""The record of every administrative action: durable before the action is answered, and only ever added to."""

from __future__ import annotations

import asyncio

from penstock.audit import repository
from penstock.audit.record import SYSTEM, Actor, AuditFilter, AuditRecord, Event, Verdict
from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.storage.database import Database


class Audit:
    """The audit records of a database that has their tables (`storage/migrations/access`).

    An action that changes the same database appends its record in the same transaction (`repository.append`).
    """

    def __init__(self, database: Database, clock: Clock = SYSTEM_CLOCK) -> None:
        self._database = database
        self._clock = clock

    async def record(self, event: Event, actor: Actor = SYSTEM) -> AuditRecord:
        """Returns when the record is on disk. Raises `StorageFull` or `StorageError`: then do not act."""
        now = self._clock.now_us()
        return await self._database.write(lambda connection: repository.append(connection, actor, event, now))

    async def list(self, wanted: AuditFilter) -> tuple[AuditRecord, ...]:
        """Newest first."""
        return await asyncio.to_thread(self._list, wanted)

    def _list(self, wanted: AuditFilter) -> tuple[AuditRecord, ...]:
        with self._database.read() as connection:
            return tuple(repository.page(connection, wanted))

    async def verify(self, known: str | None = None) -> Verdict:
        """Checks every record against the one before. `known` is a digest noted earlier, to be found again."""
        return await asyncio.to_thread(self._verify, known)

    def _verify(self, known: str | None) -> Verdict:
        with self._database.read() as connection:
            return repository.verify(connection, known)
