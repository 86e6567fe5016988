"""The seam between pulling (locks, verification, the cache) and the places that files come from."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

from msgspec import Struct

from penstock.errors import PullFailed, StorageFull
from penstock.models.catalog import ModelFile

Phase = Literal["waiting", "download", "unpack", "verify", "done"]

MODEL_SUFFIXES = (
    ".gguf",
    ".safetensors",
    ".onnx",
    ".onnx_data",
    ".xml",
    ".bin",
    ".json",
    ".txt",
    ".model",
    ".jinja",
)
"""What may be taken from a folder that names no files: weights that hold no code, and what describes them."""

SPARE_BYTES = 16 << 20
"""Left free on the disk, for everybody else."""


class PullProgress(Struct, frozen=True, kw_only=True):
    """How far a pull is. Bytes; `total_bytes` is `None` where the source does not say."""

    name: str
    file: str
    done_bytes: int
    total_bytes: int | None
    phase: Phase


class Order(Struct, frozen=True, kw_only=True):
    """What a source shall bring, and where it may work.

    Files go to `target`, an empty folder that is thrown away unless all goes well. `work` is kept between
    attempts, for what can be resumed. Without `files` the source brings what its own address names.
    """

    name: str
    files: tuple[ModelFile, ...]
    target: Path
    work: Path
    download_size: int | None
    progress: Callable[[PullProgress], None]

    def report(self, phase: Phase, file: str, done: int, total: int | None) -> None:
        self.progress(PullProgress(name=self.name, file=file, done_bytes=done, total_bytes=total, phase=phase))


class Source(Protocol):
    """One place that files come from."""

    def stamp(self) -> str:
        """Changes when what the address names is known to have changed; empty where that cannot be known."""
        ...

    def fetch(self, order: Order) -> tuple[ModelFile, ...]:
        """Puts the files under `order.target` and returns what the source itself claims about them.

        Raises `PullFailed` or `StorageFull`.
        """
        ...


def safe_name(name: str) -> str:
    """`name` as a relative path without steps upwards. Raises `PullFailed` for any other."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\\" in name or ":" in path.parts[0]:
        raise PullFailed(
            f"the archive names a file '{name}' outside its folder.", hint="Do not use this package: it is unsafe."
        )
    return str(path)


def is_full(error: OSError) -> bool:
    """Whether a write failed for want of space: a full disk, a quota, or the largest size a file may have."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_space(folder: Path, needed: int) -> None:
    """Raises `StorageFull` when the disk below an existing folder has less than `needed` bytes to spare."""
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE_BYTES:
        raise storage_full(folder, needed, free)


def storage_full(folder: Path, needed: int | None = None, free: int | None = None) -> StorageFull:
    if needed is None or free is None:
        message = f"the disk that holds {folder} is full."
    else:
        message = f"the disk that holds {folder} has {megabytes(free)} free, and {megabytes(needed)} are needed."
    return StorageFull(message, hint="Free some space, or set PENSTOCK_CACHE to a folder on a larger disk.")


def megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB" if size >= 1e7 else f"{size / 1e6:.1f} MB"
