"""One process at a time works in a data folder; the others learn which one, and where it listens."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
from msgspec import Struct

from penstock.errors import StorageError

ATTEMPTS, PAUSE = 10, 0.02
"""Tries, and seconds between them, while nobody is named: the holder has just come, or a child that it has just
started has not yet closed what it inherited."""


class RunningServer(Struct, frozen=True):
    """The server that works in a data folder: its process and its address, such as `http://127.0.0.1:7100`.

    `token` is what commands of the same user show it. It stands in a file that only they can read, holds for the
    life of the process, and is not printed. `certificate` and `key` are the files of what it shows under TLS.
    """

    pid: int
    url: str
    token: str = ""
    certificate: str = ""
    key: str = ""

    def __repr__(self) -> str:
        return f"RunningServer(pid={self.pid}, url={self.url!r})"


class FolderLock:
    """The right to write in a data folder, held until `release` or the end of the process.

    The lock is the kernel's (flock), so a killed process leaves none behind; the file's content only says who
    holds it. Child processes do not inherit it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / "lock"
        self._file: int | None = None

    def acquire(self) -> Self:
        """Takes the lock. Raises `StorageError` naming the process that holds it."""
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageError(
                f"The data folder {self.folder} cannot be used: {error.strerror}.",
                hint="Set PENSTOCK_DATA, or data under [app], to a folder that can be written.",
            ) from error
        for attempt in range(ATTEMPTS):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                holder = os.pread(file, 32, 0).decode("ascii", "replace").strip()
            if holder or attempt == ATTEMPTS - 1:
                os.close(file)
                raise self._in_use(holder)
            time.sleep(PAUSE)
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        self._file = file
        return self

    def _in_use(self, holder: str) -> StorageError:
        who = f"process {holder}" if holder else "another process"
        return StorageError(
            f"The data folder {self.folder} is in use by {who}.",
            hint="Wait for it to finish, or stop it" + (f" with `kill {holder}`." if holder else "."),
        )

    def announce(self, url: str, token: str = "", certificate: tuple[str, str] = ("", "")) -> None:
        """Tells commands of this user where the server of this folder listens; `release` takes it back."""
        record = msgspec.json.encode(RunningServer(os.getpid(), url, token, *certificate))
        draft = self.folder / "server.json.new"
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(record)
        draft.replace(self.folder / "server.json")

    def release(self) -> None:
        if self._file is None:
            return
        (self.folder / "server.json").unlink(missing_ok=True)
        os.ftruncate(self._file, 0)
        os.close(self._file)
        self._file = None

    def __enter__(self) -> Self:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def announced_server(folder: Path) -> RunningServer | None:
    """The server that says it works in `folder`, if its process lives; ask it who it is before trusting it.

    `None` also where it is another user's, whose file cannot be read.
    """
    try:
        record = msgspec.json.decode((folder / "server.json").read_bytes(), type=RunningServer)
    except (OSError, msgspec.MsgspecError):
        return None
    try:
        os.kill(record.pid, 0)
    except PermissionError:
        return record
    except (OSError, OverflowError):
        return None
    return record
