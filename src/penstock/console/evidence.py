"""The passages that a traced search found, as its span recorded them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from penstock.console.passages import address_of, source_line
from penstock.errors import PenstockError
from penstock.knowledge.base import KnowledgeBase
from penstock.traces.span import TraceSummary

ATTRIBUTES = ("retrieval.documents", "hits")
MOST = 20


class RecordedHit(Struct, frozen=True):
    """What is read of one recorded passage; spans of other makes may lack any of it."""

    document: str = ""
    document_id: str = ""
    heading: tuple[str, ...] = ()
    page: int | None = None
    start: int = 0
    end: int = 0
    text: str = ""
    score: float | None = None
    vector_score: float | None = None
    text_score: float | None = None


class EvidenceRow(Struct, frozen=True, kw_only=True):
    """A passage that the search found. Shares are 0 to 1, for the bars; `href` is `None` where it cannot open."""

    source: str
    href: str | None
    text: str
    score: float | None
    share: float
    vector_score: float | None
    vector_share: float
    text_score: float | None
    text_share: float


def evidence(
    trace: TraceSummary, spans: Iterable[Mapping[str, Any]], base: KnowledgeBase | None
) -> Iterable[EvidenceRow]:
    """One row for each recorded passage, its text read from the knowledge where that still has it."""
    found = [hit for values in spans for hit in recorded(values)][:MOST]
    best = max((hit.text_score or 0.0 for hit in found), default=0.0) or 1.0
    texts: dict[str, str] = {}
    for hit in found:
        text = document_text(base, hit.document_id, texts)[hit.start : hit.end] if base else ""
        yield EvidenceRow(
            source=source_line(hit.document, hit.heading, hit.page),
            href=address_of(trace.knowledge or "", hit.document_id, hit.start, hit.end) if text else None,
            text=text or hit.text,
            score=hit.score,
            share=share(hit.score),
            vector_score=hit.vector_score,
            vector_share=share(hit.vector_score),
            text_score=hit.text_score,
            text_share=share((hit.text_score or 0.0) / best),
        )


def recorded(values: Mapping[str, Any]) -> Iterable[RecordedHit]:
    """The passages among a span's attributes; what has another shape was not recorded by a search of ours."""
    for name in ATTRIBUTES:
        try:
            yield from msgspec.convert(values.get(name, ()), tuple[RecordedHit, ...])
        except msgspec.ValidationError:
            continue


def document_text(base: KnowledgeBase, document_id: str, texts: dict[str, str]) -> str:
    """The text of a document, "" where it has gone since; each is read once."""
    if document_id not in texts:
        try:
            texts[document_id] = base.document(document_id).text
        except PenstockError:
            texts[document_id] = ""
    return texts[document_id]


def share(score: float | None) -> float:
    return min(1.0, max(0.0, score or 0.0))
