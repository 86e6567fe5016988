"""What the process that reads files is asked, and what it answers."""

from __future__ import annotations

from msgspec import Struct

from penstock.knowledge.chunking import ChunkOptions
from penstock.knowledge.chunking.units import Unit
from penstock.knowledge.loaders.kinds import Kind
from penstock.knowledge.values import Heading, Stat, Status


class ReaderSetup(Struct, frozen=True):
    """Limits of the process: bytes of address space, bytes of one file, and seconds for one file."""

    memory_bytes: int
    max_file_bytes: int
    seconds: float = 60.0


class ReadRequest(Struct, frozen=True, kw_only=True):
    """Read the file at `path`, pictures of text in it in the `languages`, and cut it as `chunking` says."""

    path: bytes
    kind: Kind
    chunking: ChunkOptions
    languages: tuple[str, ...] = ()


class CutPassage(Struct, frozen=True, array_like=True):
    """A passage by its characters, its page, its headings, the range around it that is read in its place, and where
    in its file it stands, in words."""

    start: int
    end: int
    page: int | None
    heading: tuple[str, ...]
    parent: tuple[int, int] | None = None
    location: str = ""


class ReadResult(Struct, frozen=True, kw_only=True):
    """What came of a file. `digest` and `stat` are of the bytes that were read, "" and `None` where none were.

    `metadata` is what the file says of itself.
    `grains` are there for strategy `semantic` alone, one for each passage: they are to be joined by their vectors.
    """

    status: Status
    reason: str = ""
    digest: str = ""
    stat: Stat | None = None
    title: str = ""
    text: str = ""
    headings: tuple[Heading, ...] = ()
    page_starts: tuple[int, ...] = ()
    metadata: dict[str, str | int | float | bool | tuple[str, ...]] = {}
    passages: tuple[CutPassage, ...] = ()
    grains: tuple[Unit, ...] = ()
