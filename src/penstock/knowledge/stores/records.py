"""What goes into a store and comes out of it, as plain values."""

from __future__ import annotations

from msgspec import Struct

from penstock.knowledge.filters import Metadata

FOLDER = "folder"
UPLOADS = "uploads"
"""The two sources of a knowledge base: the app's own files, and those dropped in through the console."""


class Published(Struct, frozen=True):
    """A generation that readers can see. Number 0 is the empty one, before anything was published."""

    number: int
    fingerprint: str
    chunks: int


class StoredChunk(Struct, frozen=True, kw_only=True):
    """A passage as it was written, with what its document is called."""

    row: int
    id: str
    document_id: str
    document: str
    title: str
    heading: tuple[str, ...]
    page: int | None
    start: int
    end: int
    text: str
    location: str = ""
    parent: tuple[int, int] | None = None
    url: str = ""
    metadata: Metadata = {}


class ChunkInput(Struct, frozen=True):
    """A passage that lacks a vector."""

    row: int
    heading: tuple[str, ...]
    text: str
    digest: bytes
