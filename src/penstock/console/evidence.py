"""The passages that a traced search found, as its span recorded them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from penstock.console.passages import address_of, page_label, source_line, without_heading
from penstock.knowledge.base import KnowledgeBase, Reader
from penstock.traces.span import TraceSummary

ATTRIBUTES = ("retrieval.documents", "hits")
MOST = 8


class RecordedHit(Struct, frozen=True):
    """What is read of one recorded passage; spans of other makes may lack any of it."""

    document: str = ""
    document_id: str = ""
    heading: tuple[str, ...] = ()
    page: int | None = None
    location: str = ""
    start: int = 0
    end: int = 0
    text: str = ""
    score: float | None = None
    vector_score: float | None = None
    text_score: float | None = None


class EvidenceRow(Struct, frozen=True, kw_only=True):
    """A passage that the search found, with its scores; `href` is `None` where it cannot open."""

    source: str
    href: str | None
    text: str
    score: float | None
    vector_score: float | None
    text_score: float | None


def evidence(
    trace: TraceSummary, spans: Iterable[Mapping[str, Any]], base: KnowledgeBase | None, reader: Reader
) -> Iterable[EvidenceRow]:
    """One row for each recorded passage, its text where the knowledge still has it for the reader."""
    found = [hit for values in spans for hit in recorded(values)][:MOST]
    ranges = [(hit.document_id, hit.start, hit.end) for hit in found]
    texts = base.texts(ranges, reader) if base else [""] * len(found)
    for hit, text in zip(found, texts, strict=True):
        yield EvidenceRow(
            source=source_line(hit.document, hit.heading, hit.location or page_label(hit.page)),
            href=address_of(trace.knowledge or "", hit.document_id, hit.start, hit.end) if text else None,
            text=without_heading(text or hit.text, hit.heading),
            score=hit.score,
            vector_score=hit.vector_score,
            text_score=hit.text_score,
        )


def recorded(values: Mapping[str, Any]) -> Iterable[RecordedHit]:
    """The passages among a span's attributes; what has another shape was not recorded by a search of ours."""
    for name in ATTRIBUTES:
        try:
            yield from msgspec.convert(values.get(name, ()), tuple[RecordedHit, ...])
        except msgspec.ValidationError:
            continue
