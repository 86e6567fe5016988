"""Changes of files as they happen."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path

from penstock.knowledge.sources.folder import SKIPPED_FOLDERS
from penstock.knowledge.sources.patterns import literal_folder, matcher
from penstock.knowledge.values import Sources

QUIET_MS = 800
"""Changes are told once there was none for so long, or after `LONGEST_MS` of them."""
LONGEST_MS = 10_000
LOOK_MS = 5_000
"""Between two looks for folders that were deleted, or are there now."""


async def changes(sources: Sources) -> AsyncIterator[None]:
    """Yields once after each burst of changes to the files of a folder, until it is cancelled.

    What has changed is for the next listing to say: of a large burst the system may tell only a part. Raises
    `OSError` where the folder is gone, or the system watches no more of them.
    """
    from watchfiles import Change, awatch

    watched = Watched(sources.root.expanduser().resolve(), sources)
    renewed = False
    while True:
        folders = watched.folders()
        identity = identities(folders)
        matters = partial(watched.matters, folders)
        bursts = awatch(
            *folders,
            watch_filter=matters,
            debounce=LONGEST_MS,
            step=QUIET_MS,
            rust_timeout=LOOK_MS,
            yield_on_timeout=True,
        )
        async with aclosing(bursts):
            async for burst in bursts:
                # What changed while nobody watched is told once the new watch has begun, or it could be missed.
                if burst or renewed:
                    renewed = False
                    yield
                # A folder made again at once may get the number of the deleted one: only the deletion tells.
                lost = any(change is Change.deleted and Path(location) in folders for change, location in burst)
                if lost or watched.folders() != folders or identities(folders) != identity:
                    break
        renewed = True


def identities(folders: Sequence[Path]) -> list[tuple[int, int] | None]:
    """What tells folders from others of their names."""
    return [(status.st_dev, status.st_ino) if (status := status_of(folder)) else None for folder in folders]


def status_of(folder: Path) -> os.stat_result | None:
    try:
        return folder.stat()
    except OSError:
        return None


class Watched:
    """Which folders are watched, and which changes in them may matter."""

    def __init__(self, root: Path, sources: Sources) -> None:
        self._root = root
        self._include = sources.include
        self._excluded = matcher(sources.exclude)

    def folders(self) -> tuple[Path, ...]:
        """The folders that everything to take in lies in; the one around them where one is not there yet."""
        if not self._root.is_dir():
            return (self._root.parent,)
        inner = {self._root / literal_folder(pattern) for pattern in self._include}
        if all(folder.is_dir() for folder in inner):
            outer = {folder for folder in inner if not inner.intersection(folder.parents)}
            return tuple(sorted(outer))
        return (self._root,)

    def matters(self, folders: Collection[Path], change: object, location: str) -> bool:
        """Not what is hidden or left out: our own databases may be among that. What is watched always does."""
        path = Path(location)
        if path == self._root or path in folders:
            return True
        if not self._root.is_dir() or not path.is_relative_to(self._root):
            return False
        relative = path.relative_to(self._root)
        if any(part.startswith((".", "~$")) or part in SKIPPED_FOLDERS for part in relative.parts):
            return False
        return not self._excluded(relative.as_posix())
