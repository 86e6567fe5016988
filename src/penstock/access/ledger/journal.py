"""What was accounted and is not yet in the database, in memory that outlives the process.

The file is mapped into memory, so that a record is a copy of some hundred bytes: no system call, no waiting, and
yet a process that is killed with -9 leaves it behind, because the pages are the kernel's. It has two halves: while
the database takes in what stands in one, records go to the other. Against a power cut it does not help.

What is in the records, `records.py` says. A record is its length in four bytes, then the bytes; a length of zero
ends a half. The length is written last, so a process that dies while it writes leaves the record out.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from penstock.errors import StorageFull

HALF_BYTES = 8 << 20
SPARE_BYTES = 1 << 20
"""Of each half, kept for the ends of calls that have begun."""
LENGTH = struct.Struct("<I")
PUT_LENGTH = LENGTH.pack_into
END = bytes(LENGTH.size)


class Journal:
    """One file, held by one process at a time under a lock of the kernel's. Not safe from several threads."""

    def __init__(self, path: Path, file: int) -> None:
        self.path = path
        self._file = file
        self._memory = mmap.mmap(file, 2 * HALF_BYTES)
        self._half = self._at = self._last = self._last_beginning = 0
        self._other_free = True
        self._enter(0)

    @classmethod
    def open(cls, path: Path) -> Journal | None:
        """The journal at `path`, made where it is missing; `None` while another process holds it.

        Raises `StorageFull` where the disk has no room for it.
        """
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            return None
        try:
            allocate(file, 2 * HALF_BYTES)
        except OSError as error:
            os.close(file)
            raise StorageFull(
                f"There is no room for {path} ({2 * HALF_BYTES >> 20} MB): {error.strerror}.",
                hint="Free some space and try again.",
            ) from error
        return cls(path, file)

    def records(self) -> Iterator[bytes]:
        """What a process that held the journal before left in it. Read it before the first `append`."""
        for start in (0, HALF_BYTES):
            at, end = start, start + HALF_BYTES
            while at + LENGTH.size <= end:
                (length,) = LENGTH.unpack_from(self._memory, at)
                at += LENGTH.size
                if length == 0 or at + length > end:
                    break
                yield self._memory[at : at + length]
                at += length

    def clear(self) -> None:
        """Empties both halves: all that they hold is in the database."""
        self._memory[:4] = END
        self._memory[HALF_BYTES : HALF_BYTES + 4] = END
        self._other_free = True
        self._enter(0)

    def append(self, record: bytes, *, begins: bool = False) -> bool:
        """Keeps a record; false where there is no room for it, or for a call that `begins` and must end, too."""
        at = self._at + 4
        end = at + len(record)
        if end > (self._last_beginning if begins else self._last):
            return False
        memory = self._memory
        memory[at : end + 4] = record + END
        PUT_LENGTH(memory, at - 4, end - at)
        self._at = end
        return True

    def turn(self) -> None:
        """Goes to the other half, where that is free: the database is about to take in all that was appended."""
        if self._other_free and self._at != self._half:
            self._enter(HALF_BYTES - self._half)
            self._memory[self._at : self._at + 4] = END
            self._other_free = False

    def _enter(self, half: int) -> None:
        """From here on, records are written from the start of a half."""
        self._half = self._at = half
        self._last = half + HALF_BYTES - len(END)
        self._last_beginning = self._last - SPARE_BYTES

    def taken_in(self) -> None:
        """All that was appended before the last `turn` is in the database."""
        if not self._other_free:
            other = HALF_BYTES - self._half
            self._memory[other : other + 4] = END
            self._other_free = True

    def close(self) -> None:
        """Lets go of the file; another process may take it up."""
        self._memory.close()
        os.close(self._file)


def allocate(file: int, size: int) -> None:
    """Room on the disk for all of the file: without it, a full disk would kill the process when it writes."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    elif os.fstat(file).st_size < size:
        for at in range(os.fstat(file).st_size, size, 1 << 20):
            os.pwrite(file, bytes(min(1 << 20, size - at)), at)
