"""What was read, as rows to write."""

from __future__ import annotations

import hashlib

import msgspec

from penstock.clock import Clock
from penstock.ids import new_id
from penstock.knowledge.chunking import embedding_text
from penstock.knowledge.filters import Metadata
from penstock.knowledge.ingestion.outcome import Read, Shared
from penstock.knowledge.ingestion.plan import Recipes, listed
from penstock.knowledge.loaders.messages import CutPassage
from penstock.knowledge.sources.base import Item
from penstock.knowledge.stores.reader import Marks
from penstock.knowledge.stores.seals import body_of, header_of
from penstock.knowledge.stores.writes import CopiedDocument, Header, NewChunk, NewDocument, Touched
from penstock.knowledge.terms import UNSPACED, words


class DocumentMaker:
    """Makes rows of outcomes."""

    def __init__(self, recipes: Recipes, clock: Clock) -> None:
        self._recipes = recipes
        self._clock = clock

    def new(self, read: Read) -> NewDocument:
        item, known, result = read.work.item, read.work.known, read.result
        marks = msgspec.msgpack.encode(
            Marks(result.headings, result.page_starts, title=result.title, metadata=result.metadata)
        )
        inputs, chunks = [], []
        for passage in result.passages:
            body = result.text[passage.start : passage.end]
            inputs.append(embedding_text(passage.heading, body))
            chunks.append(new_chunk(passage, body, inputs[-1]))
        header = Header(
            id=new_id("doc"),
            source=read.work.source.name,
            path=item.key,
            title=title_of(item, result.title),
            kind=item.kind,
            status=result.status,
            reason=result.reason,
            recipe=self._recipes.of(item.kind),
            parser=self._recipes.parser(item.kind),
            digest=result.digest,
            version=item.version,
            listed=listed(item),
            size=size_of(item, result.stat.size if result.stat else 0),
            mtime_ns=modified_ns(item, result.stat.mtime_ns if result.stat else 0),
            characters=len(result.text),
            pages=len(result.page_starts) or None,
            chunks=len(chunks),
            url=item.url,
            metadata=as_json(result.metadata, item.metadata),
            readers=msgspec.json.encode(item.readers).decode(),
            loaded_at=self._clock.now_us(),
            body=body_of(marks, result.text, chunks),
        )
        return NewDocument(
            header=sealed(header),
            marks=marks,
            text=result.text,
            chunks=tuple(chunks),
            inputs=tuple(inputs),
            replaces=known.row if known else None,
        )

    def copy(self, shared: Shared) -> CopiedDocument:
        item, known, work = shared.work.item, shared.known, shared.work
        marks = msgspec.msgpack.decode(known.marks, type=Marks)
        header = msgspec.structs.replace(
            known.header,
            id=new_id("doc"),
            source=work.source.name,
            path=item.key,
            title=title_of(item, marks.title),
            version=item.version,
            listed=listed(item),
            size=size_of(item, known.header.size),
            mtime_ns=modified_ns(item, known.header.mtime_ns),
            url=item.url,
            metadata=as_json(marks.metadata, item.metadata),
            readers=msgspec.json.encode(item.readers).decode(),
            loaded_at=self._clock.now_us(),
        )
        replaces = work.known.row if work.known else None
        return CopiedDocument(header=sealed(header), of=known.row, replaces=replaces)


def sealed(header: Header) -> Header:
    return msgspec.structs.replace(header, seal=header_of(header))


def touched(item: Item, row: int) -> Touched:
    return Touched(row, item.version, size_of(item, 0), modified_ns(item, 0))


def new_chunk(passage: CutPassage, body: str, embedded: str) -> NewChunk:
    low, high = passage.parent or (None, None)
    return NewChunk(
        start=passage.start,
        end=passage.end,
        page=passage.page,
        heading=msgspec.json.encode(passage.heading).decode(),
        text=body,
        digest=hashlib.sha256(embedded.encode()).digest(),
        terms=" ".join(words(body)) if UNSPACED.search(body) else None,
        location=passage.location,
        parent_start=low,
        parent_end=high,
    )


def title_of(item: Item, own: str) -> str:
    """What its source calls a document, else what it calls itself, else the name of its file."""
    return item.title or own or item.key.rpartition("/")[2].rpartition(".")[0] or item.key


def size_of(item: Item, read: int) -> int:
    return read if item.size is None else item.size


def modified_ns(item: Item, read: int) -> int:
    return read if item.modified_us is None else item.modified_us * 1000


def as_json(own: Metadata, listed: Metadata) -> str:
    """What a document says of itself and what its source says of it; the source is right where they differ."""
    return msgspec.json.encode({**own, **listed}, order="deterministic").decode()
