"""Streams of the fixtures, read and written in either dialect."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from penstock.exchange import Chunk, Exchange
from penstock.models.dialects.anthropic.answers import MessagesWriter
from penstock.models.dialects.anthropic.upstream import StreamReader
from penstock.models.dialects.collecting import collected
from penstock.models.dialects.openai.answers import ChatWriter, heading
from penstock.models.dialects.openai.upstream import EventReader, read_event

FIXTURES = Path(__file__).parent.parent / "fixtures" / "dialects"
ASKED = Exchange(id="req_1", trace_id="0af7651916cd43dd8448eb211c80319c", model="big")


def data_of(name: str) -> list[bytes]:
    """The data of each event of a fixture."""
    return list(EventReader().feed((FIXTURES / f"{name}.sse").read_bytes()))


def chunks_of(events: Iterable[bytes], dialect: str) -> list[Chunk]:
    """What the events of an answer say, without their bytes."""
    reader = StreamReader()
    chunks = []
    for data in events:
        if data != b"[DONE]":
            event: Any = read_event(data) if dialect == "openai" else reader.read_event(data)
            assert not event.failed, data
            chunks.append(replace(event.chunk, raw=None))
    return chunks


def streamed(chunks: Iterable[Chunk], dialect: str) -> bytes:
    """The chunks as a stream in a dialect."""
    writer = writer_in(dialect)
    return b"".join(writer.event(chunk) for chunk in chunks) + writer.end()


def writer_in(dialect: str) -> ChatWriter | MessagesWriter:
    if dialect == "openai":
        return ChatWriter(heading(ASKED, 1, ""), wants_usage=True)
    return MessagesWriter(ASKED)


def through(chunks: Iterable[Chunk], dialect: str) -> Chunk:
    """The answer after its stream was written in a dialect and read again."""
    return collected(chunks_of(EventReader().feed(streamed(chunks, dialect)), dialect))
