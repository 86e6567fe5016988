"""Which processes write to the same ledger: each holds a slot, a number that no other live process has.

The slot is part of the id of a call, so that two processes never make the same id, and so that the calls which a
killed process left open can be told from those that go on elsewhere. Locks end with their process, also under
kill -9: what can be locked has no owner.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from penstock.access.ledger.journal import Journal
from penstock.access.ledger.tables import SLOTS
from penstock.errors import StorageError
from penstock.storage.database import Database
from penstock.storage.postgres import AdvisoryLocks, PostgresDatabase

SPACE = 0x1ED6
"""The first half of the advisory locks' numbers."""


class Slots(Protocol):
    """The slots of one ledger. Methods raise `StorageError` or `Unavailable`."""

    def take(self, slot: int) -> bool:
        """Whether the slot is now held here."""
        ...

    def give_back(self, slot: int) -> None: ...

    def kept(self) -> bool:
        """Whether what was taken is still held."""
        ...

    def close(self) -> None: ...


class FileSlots:
    """Slots of the processes of one machine: the locks of their journals, of which `own` is held already."""

    def __init__(self, folder: Path, own: int) -> None:
        self._folder = folder
        self._own = own
        self._others: dict[int, Journal] = {}

    def take(self, slot: int) -> bool:
        path = journal_path(self._folder, slot)
        if slot == self._own or not path.exists():
            return True
        found = Journal.open(path)
        if found is not None:
            self._others[slot] = found
        return found is not None

    def give_back(self, slot: int) -> None:
        if slot in self._others:
            self._others.pop(slot).close()

    def kept(self) -> bool:
        return True

    def close(self) -> None:
        for slot in tuple(self._others):
            self.give_back(slot)


class DatabaseSlots:
    """Slots of processes on several machines, that share a PostgreSQL database."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._locks: AdvisoryLocks = database.hold()

    def take(self, slot: int) -> bool:
        return self._locks.take(SPACE, slot)

    def give_back(self, slot: int) -> None:
        self._locks.give_back(SPACE, slot)

    def kept(self) -> bool:
        return self._locks.kept()

    def close(self) -> None:
        self._locks.close()


def journal_path(folder: Path, number: int) -> Path:
    return folder / f"ledger-{number}.journal"


def own_journal(folder: Path) -> tuple[int, Journal]:
    """The first journal in the folder that no other process holds, and its number."""
    for number in range(SLOTS):
        journal = Journal.open(journal_path(folder, number))
        if journal is not None:
            return number, journal
    raise StorageError(f"{SLOTS} processes use the ledger in {folder}, and there is no slot for another.")


def left_journals(folder: Path) -> Iterator[Journal]:
    """The journals in the folder that no process holds; each is let go of after its turn."""
    for path in sorted(folder.glob("ledger-*.journal")):
        journal = Journal.open(path)
        if journal is not None:
            try:
                yield journal
            finally:
                journal.close()


def own_slot(database: Database, folder: Path, number: int) -> tuple[int, Slots]:
    """A slot for this process, which holds the journal with that number, and the others of the ledger."""
    if not isinstance(database, PostgresDatabase):
        return number, FileSlots(folder, number)
    slots = DatabaseSlots(database)
    return free_slot(slots, database.name), slots


def free_slot(slots: Slots, name: str) -> int:
    """Takes the first slot that nobody holds."""
    for slot in range(SLOTS):
        if slots.take(slot):
            return slot
    raise StorageError(f"{SLOTS} processes use {name}, and there is no slot for another.")
