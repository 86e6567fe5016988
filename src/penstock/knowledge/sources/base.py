"""Where documents come from: a folder, web pages, a bucket, a repository, a query, or whoever pushes them.

A source lists what there is, and fetches one item at a time. What a run removes follows from the listing alone,
so a listing says exactly how far it reached: one that fails raises, and nothing of its source is removed.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Protocol
from urllib.parse import quote

from msgspec import Struct

from penstock.knowledge.filters import Metadata
from penstock.knowledge.loaders.kinds import READABLE, Kind
from penstock.knowledge.values import FileProblem


class Item(Struct, frozen=True, kw_only=True):
    """One document as its source lists it.

    `key` is what it is called, unique in its source and shown to people. `version` tells its content from an
    earlier one without reading it; "" where nothing does, and the content is to be fetched and hashed. It speaks of
    the content only: `metadata`, `readers`, `title` and `url` may change without it. `title` is "" where the
    document's own counts. `modified_us` is UTC microseconds, `size` bytes, both `None` where the source does not
    say. `location` is the source's own, for `fetch`.
    """

    key: str
    version: str
    kind: Kind
    location: bytes
    metadata: Metadata = {}
    readers: tuple[str, ...] = ()
    title: str = ""
    url: str = ""
    modified_us: int | None = None
    size: int | None = None


class SourceRules(Struct, frozen=True, kw_only=True):
    """What holds for all documents of a source: metadata added to theirs, who may find them (`()` is everybody who
    may read the knowledge), and the share of them, 0 to 1, that one run may delete."""

    metadata: Metadata = {}
    readers: tuple[str, ...] = ()
    max_delete: float = 0.2


class Listing(Struct, frozen=True, kw_only=True):
    """What a source has.

    `problems` are items that are there and cannot be taken in. `unlisted` are keys, or folders of keys, of which
    nothing is known; "" is all of them. Where it is not `complete`, `items` are those that changed since the
    cursor. `deleted` are keys that are surely gone, whatever `unlisted` says. `cursor` is for the next `list`.
    """

    items: tuple[Item, ...]
    problems: tuple[FileProblem, ...] = ()
    unlisted: tuple[str, ...] = ()
    complete: bool = True
    deleted: tuple[str, ...] = ()
    cursor: bytes = b""

    def covers(self, key: str) -> bool:
        """Whether the listing knows if there is such a key."""
        return not any(key == each or each == "" or key.startswith(f"{each}/") for each in self.unlisted)

    def gone(self, known: Collection[str]) -> frozenset[str]:
        """Those of the known keys that are no longer there."""
        here = {item.key for item in self.items}
        gone = {key for key in self.deleted if key not in here}.intersection(known)
        if self.complete:
            gone.update(key for key in known if key not in here and self.covers(key))
        return frozenset(gone)


class Source(Protocol):
    """One place that documents come from. `name` is kept with each of its documents, so it must not change.

    `max_delete` is the share of its documents, 0 to 1, that one run may remove (`deletion.check_deletions`).
    """

    @property
    def name(self) -> str: ...

    @property
    def max_delete(self) -> float: ...

    async def list(self, cursor: bytes) -> Listing:
        """What there is now. `cursor` is that of the last listing that was taken in whole; b"" asks for everything,
        as after a change of how documents are read.

        Raises a `PenstockError` where the source cannot be listed: nothing of it is removed then.
        """
        ...

    async def fetch(self, item: Item, folder: Path) -> Path:
        """A file with the content of an item: the file itself where it is on this machine, else a new one in
        `folder`, which the caller deletes.

        Raises `NotFound` for an item that has gone since it was listed, `BodyTooLarge` for one over the limit, or
        another `PenstockError` where it cannot be had now.
        """
        ...

    async def close(self) -> None:
        """Ends what a run needed. The source can be listed again."""
        ...


def shown(name: str) -> str:
    """A file name as text; bytes that are not UTF-8 become `\\xNN`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def unsupported(key: str) -> FileProblem:
    """What becomes of a document whose name says that it cannot be read."""
    suffix = PurePosixPath(key).suffix
    what = f"'{suffix}' files" if suffix else "Files without an extension"
    return FileProblem(key, "unsupported", f"{what} cannot be read. Save it as one of: {READABLE}.")


def linked(link: str, key: str) -> str:
    """Where people open a document: an address with `{key}` in it, or "" for nowhere."""
    return link.replace("{key}", quote(key)) if link else ""
