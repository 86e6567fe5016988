"""Files dropped in through the console: kept as files, so that every later run finds them again."""

from __future__ import annotations

import asyncio
import errno
import os
import tempfile
from pathlib import Path, PurePosixPath

from penstock.errors import BodyTooLarge, InvalidRequest, StorageError, StorageFull
from penstock.knowledge.loaders.kinds import READABLE, kind_of
from penstock.knowledge.sources.base import Item, Listing
from penstock.knowledge.sources.folder import list_folder
from penstock.knowledge.values import Sources

LONGEST_NAME = 200


class UploadsSource:
    """The files of the folder that uploads are kept in. They go one by one and by name, so a run may delete all."""

    name = "uploads"
    max_delete = 1.0

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def list(self, cursor: bytes) -> Listing:
        if not self._folder.is_dir():
            return Listing(items=())
        return await asyncio.to_thread(list_folder, Sources(self._folder))

    async def fetch(self, item: Item, folder: Path) -> Path:
        return Path(os.fsdecode(item.location))

    async def close(self) -> None: ...


def checked_name(name: str) -> str:
    """The last part of what a browser calls a file. Raises `InvalidRequest` for one that cannot be kept."""
    plain = PurePosixPath(name.replace("\\", "/")).name.strip()
    if not plain or plain.startswith((".", "~$")) or any(ord(char) < 32 for char in plain):
        raise InvalidRequest(f"{name!r} is not a file name.", hint="Give the file a plain name.", param="name")
    try:
        length = len(plain.encode())
    except UnicodeEncodeError:
        raise InvalidRequest(f"{name!r} is not a file name.", hint="Give the file a plain name.") from None
    if length > LONGEST_NAME:
        raise InvalidRequest(
            f"The name {plain[:40]!r}… is longer than {LONGEST_NAME} bytes.", hint="Shorten it.", param="name"
        )
    if kind_of(plain) is None:
        raise InvalidRequest(
            f"{plain!r} is not of a kind that can be read.", hint=f"Save it as one of: {READABLE}.", param="name"
        )
    return plain


def check_size(name: str, size: int, limit: int) -> None:
    if size > limit:
        raise BodyTooLarge(
            f"{name!r} has {size / 1e6:,.1f} MB, more than the {limit / 1e6:,.0f} MB that one file may have.",
            hint="Split it, or raise max_file_mb.",
        )


def write(folder: Path, name: str, data: bytes) -> None:
    """Puts a file in place whole or not at all. Raises `StorageFull` or `StorageError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(folder / name)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StorageFull(f"The disk is full: {name!r} was not kept.", hint="Free some space.") from error
        raise StorageError(f"{folder / name} cannot be written: {error.strerror or error}.") from error


def delete(folder: Path, name: str) -> None:
    (folder / name).unlink(missing_ok=True)
