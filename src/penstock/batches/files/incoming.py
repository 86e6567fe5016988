"""A file on its way to the disk: hashed as it comes, under its name only when all of it is there."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from penstock.errors import StorageError, StorageFull

PART = ".part"
FULL = {28, 122}
"""ENOSPC and EDQUOT."""


class Incoming:
    """Writes one file, blocking. `close` takes back what was not kept."""

    def __init__(self, path: Path) -> None:
        """Raises `StorageFull` or `StorageError`, as `write` and `keep` do."""
        self.path = path
        self._part = path.with_name(path.name + PART)
        self._digest = hashlib.sha256()
        self.size = 0
        try:
            self._file = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise refused(error) from None
        self._open = True
        self._kept = False

    def write(self, data: bytes) -> None:
        self._digest.update(data)
        self.size += len(data)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            raise refused(error) from None

    def keep(self) -> bytes:
        """Gives the file its name once it is on disk; returns the SHA-256 of its content."""
        try:
            os.fsync(self._file)
            self._end()
            self._part.rename(self.path)
            self._kept = True
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise refused(error) from None
        return self._digest.digest()

    def close(self) -> None:
        self._end()
        if not self._kept:
            self._part.unlink(missing_ok=True)

    def _end(self) -> None:
        if self._open:
            self._open = False
            os.close(self._file)


def refused(error: OSError) -> StorageError | StorageFull:
    if error.errno in FULL:
        return StorageFull("The disk is full: the file cannot be kept.", hint="Free some space and try again.")
    return StorageError(f"The file cannot be kept: {error.strerror}.", hint="See the server's data folder.")
