"""One run at a time on a store, whichever process it is in."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from penstock.errors import StorageError

LOOK_SECONDS = 0.1


class Turn:
    """A lock of the kernel on a file beside the store, which ends with its process, behind one of this process."""

    def __init__(self, store: Path) -> None:
        self._path = store.with_suffix(".run")
        self._here = asyncio.Lock()

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Waits until nobody runs. Raises `StorageError` where the file cannot be made, or cannot be locked."""
        async with self._here:
            try:
                file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise StorageError(f"{self._path} cannot be opened: {error.strerror}.") from error
            try:
                while not self._locked(file):  # noqa: ASYNC110 — another process has it
                    await asyncio.sleep(LOOK_SECONDS)
                yield
            finally:
                os.close(file)

    def _locked(self, file: int) -> bool:
        """False while another process has it."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise StorageError(
                f"{self._path} cannot be locked: {error.strerror}.",
                hint="Keep the data folder on a disk of this machine, or on a network disk with locks.",
            ) from error
        return True
