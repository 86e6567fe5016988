"""The frozen values of a knowledge base: what goes in, what is found, what a run did."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import Struct

from penstock.knowledge.chunking import ChunkOptions
from penstock.knowledge.filters import Filter, Metadata

if TYPE_CHECKING:  # the process that reads files needs these values and has no memory to spare
    import numpy as np
    from numpy.typing import NDArray

Status = Literal[
    "ok",
    "ocr",
    "partial",
    "no_text",
    "encrypted",
    "corrupt",
    "too_large",
    "timeout",
    "unsupported",
    "unreadable",
    "vanished",
]
"""How the reading of a file ended. Only `ok`, `ocr` and `partial` documents can be found by a
search; `ocr` ones were read, whole or in part, from pictures of their pages."""
FINDABLE: frozenset[Status] = frozenset(("ok", "ocr", "partial"))


class Sources(Struct, frozen=True):
    """Files to take in: a folder and patterns relative to it, or a single file.

    `**` in a pattern is any depth; a pattern without a slash matches a name at any depth.
    """

    root: Path
    include: tuple[str, ...] = ("**/*",)
    exclude: tuple[str, ...] = ()


class KnowledgeOptions(Struct, frozen=True, kw_only=True):
    """How documents are read and cut. A change of `chunking` reads all files again, of `ocr_languages` PDFs."""

    chunking: ChunkOptions = ChunkOptions()
    max_file_bytes: int = 50_000_000
    parse_seconds: float = 60.0
    parse_memory_bytes: int = 1 << 30
    ocr_languages: tuple[str, ...] = ()
    keep_generations: int = 5


class Stat(Struct, frozen=True):
    """What tells a file from its earlier self without reading it. `inode` 0 matches nothing."""

    size: int
    mtime_ns: int
    inode: int


class Reader(Struct, frozen=True):
    """Who asks, as tags that documents may be kept for: "project:acme", "key:ci", "role:viewer", "group:hr".

    `tags` `None` finds everything: it is for owners, and for one's own machine.
    """

    tags: tuple[str, ...] | None

    def may_find(self, readers: tuple[str, ...]) -> bool:
        """Whether a document kept for these `readers` may be found; for nobody in particular is for everybody."""
        return not readers or self.tags is None or not set(self.tags).isdisjoint(readers)


EVERYTHING = Reader(None)

Mode = Literal["hybrid", "dense", "text"]


class Query(Struct, frozen=True, kw_only=True):
    """What to look for and who asks, in which generation (`None` is the published one), how many passages at most.

    `filter` is on the metadata of documents; `mode` "dense" goes by vectors alone, "text" by words alone. `queries`
    are other phrasings of the same question: a passage counts with the best of its scores. Hits below `min_score`
    are left out.

    `rerank` `True` wants the knowledge's reranker, `False` does without, `None` takes it where there is one.
    `vector_weight` is the share of the vectors in the mix, 0 to 1, `None` the knowledge's own. `diversity`, 0 to 1,
    is how much a likeness to hits before it counts against a passage. `neighbours` passages on each side are given
    with a hit, and with `expand` the larger part of the text that it was cut from.
    """

    text: str
    reader: Reader
    limit: int = 5
    generation: int | None = None
    filter: Filter | None = None
    mode: Mode = "hybrid"
    queries: tuple[str, ...] = ()
    rerank: bool | None = None
    vector_weight: float | None = None
    diversity: float = 0.0
    neighbours: int = 0
    expand: bool = False
    min_score: float = 0.0


class Scope(Struct, frozen=True):
    """What a search may find: passages of one generation, of documents that match and are for the reader."""

    generation: int
    reader: Reader
    filter: Filter | None = None


class Hit(Struct, frozen=True, kw_only=True):
    """A passage that a search found: `text` is characters `start` to `end` of its document's text.

    `score` is the mix of both, 0 to 1; `vector_score` the cosine, `None` where vectors were not searched;
    `text_score` the share of the question's words that the passage holds, 0 to 1. `page` is 1-based. `location`
    says for people where it stands ("slide 4", "lines 10–24"), "" where there is nothing to say. `parent` is the
    larger range that it is a part of. `url` is where people open the document, "" where that is not known. Where a
    reranker read it, `rerank_score` is what it said, and `score` the same.
    """

    chunk_id: str
    document_id: str
    document: str
    title: str
    heading: tuple[str, ...]
    page: int | None
    start: int
    end: int
    text: str
    score: float
    vector_score: float | None
    text_score: float
    location: str = ""
    parent: tuple[int, int] | None = None
    url: str = ""
    metadata: Metadata = msgspec.field(default_factory=dict)
    rerank_score: float | None = None


class SearchResult(Struct, frozen=True, kw_only=True):
    """Hits, best first, of one generation. `vector` is the question's own, float32 of length 1; in mode "text" it
    is empty."""

    hits: tuple[Hit, ...]
    generation: int
    vector: NDArray[np.float32]


class Heading(Struct, frozen=True):
    """A heading of a document, characters `start` to `end` of its text; level 1 is the highest."""

    level: int
    start: int
    end: int


class DocumentRow(Struct, frozen=True, kw_only=True):
    """One document as lists show it. Times are UTC microseconds; `pages` is `None` where there are none.

    `uploaded` documents were dropped in through `add_file`; the others are files of the app's folder.
    `reason` says what a status other than `ok` means and what to do about it. `readers` are the tags of those who
    may find it, none for everybody. `parser` names what read it, with its version. Generations from `added_in` to
    before `removed_in` have it, `None` where the newest does.
    """

    id: str
    path: str
    title: str
    kind: str
    status: Status
    reason: str
    uploaded: bool
    size: int
    characters: int
    pages: int | None
    chunks: int
    modified_at: int
    loaded_at: int
    source: str = ""
    url: str = ""
    parser: str = ""
    metadata: Metadata = msgspec.field(default_factory=dict)
    readers: tuple[str, ...] = ()
    added_in: int
    removed_in: int | None


class Document(Struct, frozen=True, kw_only=True):
    """A document with its extracted text, and where its headings and its pages begin in it."""

    row: DocumentRow
    text: str
    headings: tuple[Heading, ...]
    page_starts: tuple[int, ...]


class KnowledgeCounts(Struct, frozen=True, kw_only=True):
    """What the published generation holds; `statuses` counts its documents by status. `bytes` is the size of the
    documents as they came; UTC microseconds say when the first and the last of them were read, 0 without any."""

    generation: int
    documents: int
    chunks: int
    characters: int
    statuses: dict[str, int]
    bytes: int = 0
    first_loaded_at: int = 0
    last_loaded_at: int = 0


class IngestProgress(Struct, frozen=True, kw_only=True):
    """Where a run is: `done` of `total` files, the file it is at, and the passages embedded so far."""

    total: int
    done: int
    current: str
    chunks: int


Progress = Callable[[IngestProgress], None]


class FileProblem(Struct, frozen=True):
    """A file that could not be read whole, and why, in words for its owner."""

    path: str
    status: Status
    reason: str


class SourceProblem(Struct, frozen=True):
    """A source that could not be listed, or of which too much was gone: what is known of it was kept."""

    source: str
    reason: str


class SourceRemoved(Struct, frozen=True):
    """A source that is no longer configured, and how many documents went with it."""

    source: str
    documents: int


class IngestSummary(Struct, frozen=True, kw_only=True):
    """What a run did. `statuses` counts every document found by its status, `chunks` the passages written,
    `embedded` those that the encoder had to read (the others came from the cache). A run with `sources`, which it
    could not bring up to date, is partial; `removed_sources` are no longer configured. `generation` is the newest
    one, which readers see unless they are kept at another."""

    generation: int
    added: int
    changed: int
    unchanged: int
    removed: int
    chunks: int
    embedded: int
    statuses: dict[str, int]
    problems: tuple[FileProblem, ...]
    seconds: float
    sources: tuple[SourceProblem, ...] = ()
    removed_sources: tuple[SourceRemoved, ...] = ()


def ignore_progress(progress: IngestProgress) -> None:
    """The default for callers who do not watch."""
