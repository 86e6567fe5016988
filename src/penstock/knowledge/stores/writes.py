"""What a run reads from the store and writes into it, as plain values."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from penstock.knowledge.values import Status


class LedgerRow(Struct, frozen=True, kw_only=True):
    """What is known of a document that was taken in before.

    `digest` is that of its bytes, "" where they were never read whole; `listed` that of what its source said of
    it beside its content.
    """

    row: int
    version: str
    kind: str
    digest: str
    recipe: str
    status: Status
    reason: str
    chunks: int
    listed: bytes


class NewChunk(Struct, frozen=True, kw_only=True):
    """A passage to write. `digest` identifies what was embedded for it; `terms` is for unspaced scripts;
    `heading` is a JSON list."""

    start: int
    end: int
    page: int | None
    heading: str
    text: str
    digest: bytes
    terms: str | None
    location: str
    parent_start: int | None
    parent_end: int | None


class Header(Struct, frozen=True, kw_only=True):
    """A row of the table of documents, fields as its columns are called. `metadata` and `readers` are JSON."""

    id: str
    source: str
    path: str
    title: str
    kind: str
    status: Status
    reason: str
    recipe: str
    parser: str
    digest: str
    version: str
    listed: bytes
    size: int
    mtime_ns: int
    characters: int
    pages: int | None
    chunks: int
    url: str
    metadata: str
    readers: str
    loaded_at: int
    body: bytes
    seal: bytes = b""


class NewDocument(Struct, frozen=True, kw_only=True):
    """A document to write, in place of row `replaces`. `inputs` are what is embedded, one for each chunk."""

    header: Header
    marks: bytes
    text: str
    chunks: tuple[NewChunk, ...]
    inputs: tuple[str, ...]
    replaces: int | None


class CopiedDocument(Struct, frozen=True, kw_only=True):
    """A document whose text and passages are those of row `of`, in place of row `replaces`."""

    header: Header
    of: int
    replaces: int | None


class Touched(Struct, frozen=True, array_like=True):
    """A document whose content is what it was, and what tells it from its earlier self now."""

    row: int
    version: str
    size: int
    mtime_ns: int


class Batch(Struct, frozen=True, kw_only=True):
    """What one transaction writes. `vectors` are by the digest of what was embedded."""

    documents: tuple[NewDocument, ...] = ()
    copies: tuple[CopiedDocument, ...] = ()
    touched: tuple[Touched, ...] = ()
    vectors: Mapping[bytes, bytes] = {}


class Known(Struct, frozen=True):
    """A document whose content another one may share: its row, header and marks as stored."""

    row: int
    header: Header
    marks: bytes


class Pending(Struct, frozen=True):
    """The generation that a run works on, unseen by readers until it is published."""

    number: int
    embedder_id: int


class Closing(Struct, frozen=True, kw_only=True):
    """How a run ends: what its sources' cursors are now, how many generations are kept, and what time it is. `run`
    is its id: one that was cancelled publishes nothing."""

    cursors: Mapping[str, bytes]
    keep: int
    now_us: int
    note: str = ""
    run: str = ""
