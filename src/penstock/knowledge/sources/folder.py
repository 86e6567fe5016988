"""Files of a folder, or one file.

A listing that fails is never mistaken for an empty one: folders that could not be listed are named, and what
is known below them stays as it is.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat as modes
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.errors import ConfigError
from penstock.knowledge.loaders.kinds import READABLE, Kind, kind_of
from penstock.knowledge.sources.base import Item, Listing, SourceRules, shown, unsupported
from penstock.knowledge.sources.patterns import composed, literal_folder, matcher
from penstock.knowledge.values import FileProblem, Sources

SKIPPED_FOLDERS = frozenset(("node_modules", "__pycache__", "site-packages"))
RACY_NS = 2_000_000_000
"""A file changed this shortly before it was listed may change again without its times showing it."""

LEADS_NOWHERE = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ELOOP))
"""Errors of a link to nothing, or to itself; after any other what it leads to may still be there."""

NO_RULES = SourceRules()


class FolderSource:
    """The files below `sources.root` that its patterns choose, or the one file that it is. Keys are paths relative
    to the root, with slashes."""

    name = "folder"

    def __init__(self, sources: Sources, rules: SourceRules = NO_RULES, clock: Clock = SYSTEM_CLOCK) -> None:
        self.sources = sources
        self._rules = rules
        self._clock = clock

    @property
    def max_delete(self) -> float:
        return self._rules.max_delete

    async def list(self, cursor: bytes) -> Listing:
        """Every file there is; versions are sizes, times and inodes. Raises `ConfigError` without a root."""
        return await asyncio.to_thread(list_folder, self.sources, self._rules, self._clock)

    async def fetch(self, item: Item, folder: Path) -> Path:
        return Path(os.fsdecode(item.location))

    async def close(self) -> None: ...


def list_folder(sources: Sources, rules: SourceRules = NO_RULES, clock: Clock = SYSTEM_CLOCK) -> Listing:
    """The files of a folder, or the one file. Raises `ConfigError` where the root is not there."""
    root = sources.root.expanduser()
    try:
        status = root.stat()
    except OSError as error:
        raise ConfigError(
            f"{root} cannot be read: {error.strerror or error}.", hint="Name a folder or a file that exists."
        ) from None
    walk = _Walk(root, sources, Found(rules, clock.now_us() * 1000))
    return walk.only_file(status) if modes.S_ISREG(status.st_mode) else walk.run()


def nothing_to_read(sources: Sources, listing: Listing) -> ConfigError:
    """The error for a folder without a single readable file."""
    others = f" Of the {len(listing.problems)} files in it none can be read." if listing.problems else ""
    return ConfigError(
        f"There are no documents in {sources.root}{others or ' (it is empty, or its patterns match nothing)'}"
        + ("" if others else "."),
        hint=f"Put files there that can be read: {READABLE}. What was taken in before is kept.",
    )


class Found:
    """Makes items of files."""

    def __init__(self, rules: SourceRules, now_ns: int) -> None:
        self._rules = rules
        self._now_ns = now_ns

    def item(self, path: str, location: str, status: os.stat_result, kind: Kind) -> Item:
        racy = self._now_ns - status.st_mtime_ns < RACY_NS
        return Item(
            key=shown(path),
            version="" if racy else f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}",
            kind=kind,
            location=os.fsencode(location),
            metadata=self._rules.metadata,
            readers=self._rules.readers,
            modified_us=status.st_mtime_ns // 1000,
            size=status.st_size,
        )


class _Walk:
    """One walk over a folder. Links are followed, but no file or folder is found twice through them."""

    def __init__(self, root: Path, sources: Sources, found: Found) -> None:
        self._root = root
        self._found = found
        self._included = matcher(sources.include)
        self._excluded = matcher(sources.exclude)
        self._prefixes = tuple(literal_folder(composed(pattern)) for pattern in sources.include)
        self._named = frozenset(PurePosixPath(pattern).suffix for pattern in sources.include) - {""}
        self._seen: set[tuple[int, int]] = set()
        self._items: list[Item] = []
        self._problems: list[FileProblem] = []
        self._unlisted: list[str] = []
        self._links: list[tuple[str, os.DirEntry[str]]] = []

    def run(self) -> Listing:
        self._folder(os.fspath(self._root), "")
        while self._links:  # after everything that is really here, so that a link never wins over a file
            links, self._links = self._links, []
            for path, entry in links:
                try:
                    self._link(path, entry)
                except OSError as error:
                    self._failed(path, error)
        self._items.sort(key=lambda item: item.key)
        return Listing(
            items=tuple(self._items), problems=tuple(self._problems), unlisted=tuple(sorted(self._unlisted))
        )

    def only_file(self, status: os.stat_result) -> Listing:
        """The listing where the root is a file."""
        name = self._root.name
        item = self._found.item(name, os.fspath(self._root), status, kind_of(name) or "text")
        return Listing(items=(item,))

    def _folder(self, location: str, relative: str) -> None:
        folders = [(location, relative)]
        while folders:
            location, relative = folders.pop()
            for path, entry in self._entries(location, relative):
                try:
                    if entry.is_symlink():
                        self._links.append((path, entry))
                    elif entry.is_dir(follow_symlinks=False):
                        if self._enters(path, entry.path):
                            folders.append((entry.path, path))
                    else:
                        self._file(path, entry.path, entry.stat(follow_symlinks=False))
                except FileNotFoundError:
                    continue
                except OSError as error:
                    self._failed(path, error)

    def _entries(self, location: str, relative: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """What a folder holds, hidden files left out, by name."""
        try:
            status = os.stat(location)  # noqa: PTH116
            key = (status.st_dev, status.st_ino)
            if key in self._seen:
                return
            self._seen.add(key)
            with os.scandir(location) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self._failed(relative, error)
            return
        for entry in found:
            if not entry.name.startswith((".", "~$")):
                yield (f"{relative}/{entry.name}" if relative else entry.name), entry

    def _link(self, path: str, entry: os.DirEntry[str]) -> None:
        try:
            status = os.stat(entry.path)  # noqa: PTH116
        except OSError as error:
            if error.errno in LEADS_NOWHERE:
                return
            raise
        if modes.S_ISDIR(status.st_mode):
            if self._enters(path, entry.path):
                self._folder(entry.path, path)
        else:
            self._file(path, entry.path, status, linked=True)

    def _enters(self, path: str, location: str) -> bool:
        name = path.rpartition("/")[2]
        if name in SKIPPED_FOLDERS or self._excluded(path) or self._excluded(f"{path}/"):
            return False
        if Path(location, "pyvenv.cfg").exists():
            return False
        here = composed(f"{path}/")
        return any(here.startswith(prefix) or prefix.startswith(here) for prefix in self._prefixes)

    def _file(self, path: str, location: str, status: os.stat_result, *, linked: bool = False) -> None:
        if not modes.S_ISREG(status.st_mode) or not self._included(path) or self._excluded(path):
            return
        key = (status.st_dev, status.st_ino)
        if linked and key in self._seen:
            return
        self._seen.add(key)
        kind = kind_of(path) or ("text" if PurePosixPath(path).suffix in self._named else None)
        if kind is None:
            self._problems.append(unsupported(shown(path)))
            return
        self._items.append(self._found.item(path, location, status, kind))

    def _failed(self, relative: str, error: OSError) -> None:
        self._unlisted.append(shown(relative))
        reason = f"It could not be listed: {error.strerror or error}. What was taken in from it before is kept."
        self._problems.append(FileProblem(shown(relative) or ".", "unreadable", reason))
