"""A file that is still on its way: its bytes so far, and the server's name for the version they belong to."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO


class Partial:
    """Two files, `NAME.partial` and `NAME.partial.etag`, that a later pull can go on from."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._etag_path = path.with_name(path.name + ".etag")

    @property
    def name(self) -> str:
        return self._path.name.removesuffix(".partial")

    def size(self) -> int:
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def etag(self) -> str:
        """The version to ask for; empty where nothing is here, or the server gave no strong name for it."""
        try:
            return self._etag_path.read_text("ascii") if self.size() else ""
        except (FileNotFoundError, UnicodeDecodeError):
            return ""

    def open(self, start: int, etag: str) -> BinaryIO:
        """For writing from `start` (0 or the size so far) the bytes of version `etag`."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if start:
            return self._path.open("ab")
        self.discard()
        # A weak name only promises the same meaning, not the same bytes.
        if etag and not etag.startswith("W/") and etag.isascii():
            self._etag_path.write_text(etag, "ascii")
        return self._path.open("wb")

    def complete(self, target: Path) -> None:
        """Moves the finished bytes to `target`."""
        target.parent.mkdir(parents=True, exist_ok=True)
        self._path.replace(target)
        self._etag_path.unlink(missing_ok=True)

    def discard(self) -> None:
        self._path.unlink(missing_ok=True)
        self._etag_path.unlink(missing_ok=True)
