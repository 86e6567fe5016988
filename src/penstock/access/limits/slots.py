"""What a process holds of its leases, in memory that another process can read when the first one was killed.

word 0          the number of grants that were taken over
word 1          how often something was handed in, counted before the lease is emptied: what is no longer left, and
                not yet in a message of that count, is on its way
word 2n         what is left of the lease of counter n
word 2n + 1     the end of the stretch that it was taken in
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

TAKEN_OVER, HANDED = 0, 1
MOST = 1 << 17
"""Counters that a process can hold at once. The file has holes where none are."""
BYTES = MOST * 16


def unshared() -> memoryview:
    """The same words in memory of this process only."""
    return memoryview(bytearray(BYTES)).cast("q")


class Slots:
    """The mapped file, made by its one writer (`make`), mapped and removed by its one reader (`adopt`)."""

    def __init__(self, file: int) -> None:
        try:
            self._memory = mmap.mmap(file, BYTES)
        finally:
            os.close(file)
        self.words = memoryview(self._memory).cast("q")

    @classmethod
    def make(cls, path: Path) -> Slots:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.ftruncate(file, BYTES)
        return cls(file)

    @classmethod
    def adopt(cls, path: Path) -> Slots:
        """Raises `OSError` or `ValueError` for what is no such file."""
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        path.unlink()
        return cls(file)

    def left(self, number: int) -> tuple[int, int]:
        """What is left of a lease, and the end of its stretch."""
        return self.words[2 * number], self.words[2 * number + 1]

    def close(self) -> None:
        self.words.release()
        self._memory.close()
