"""A passage that a search found as pages show it: the question's words marked, and what its score is made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from penstock.console.passages import address_of, source_line, without_heading
from penstock.knowledge.base import Hit, Query
from penstock.knowledge.lexical import question_terms
from penstock.knowledge.terms import WORD, stem, words


class Piece(Struct, frozen=True):
    """A piece of a passage; `found` ones are words of the question."""

    text: str
    found: bool


class HitLine(Struct, frozen=True, kw_only=True):
    """A passage found, with its scores of 0 to 1.

    `why` says how its score came about, `lacks` which words of the question are not in it. `elsewhere` are other
    ways to search, each with the passage's rank there, `None` where it is not found.
    """

    chunk_id: str
    source: str
    href: str
    pieces: tuple[Piece, ...]
    score: float
    vector_score: float | None
    text_score: float
    why: str
    lacks: tuple[str, ...]
    elsewhere: tuple[tuple[str, int | None], ...] = ()


def hit_lines(knowledge: str, query: Query, hits: Sequence[Hit], weight: float) -> Iterator[HitLine]:
    """`weight` is the share of the meaning in the mix."""
    stems = (
        {} if query.mode == "dense" else {term.stem: term.phrase.strip('"') for term in question_terms(query.text)}
    )
    for hit in hits:
        text = without_heading(hit.text, hit.heading)
        held = stems_of(" ".join((*hit.heading, hit.text)))
        yield HitLine(
            chunk_id=hit.chunk_id,
            source=source_line(hit.document, hit.heading, hit.location),
            href=address_of(knowledge, hit.document_id, hit.start, hit.end),
            pieces=tuple(marked(text, frozenset(stems))),
            score=hit.score,
            vector_score=hit.vector_score,
            text_score=hit.text_score,
            why=why(query, hit, weight),
            lacks=tuple(word for key, word in stems.items() if key not in held),
        )


def why(query: Query, hit: Hit, weight: float) -> str:
    """The sum that the score is."""
    if hit.rerank_score is not None:
        return f"the reranker read it beside the question and gave it {hit.rerank_score:.2f}"
    if query.mode == "dense":
        return "the meaning alone"
    if query.mode == "text" or hit.vector_score is None:
        return "the words alone"
    meaning = min(1.0, max(0.0, hit.vector_score))
    return f"{weight:.2g} × {meaning:.2f} meaning + {1 - weight:.2g} × {hit.text_score:.2f} words"


def marked(text: str, stems: frozenset[str]) -> Iterator[Piece]:
    """The text in pieces, words with one of these stems apart."""
    at = 0
    for match in WORD.finditer(text):
        if stems_of(match.group()) & stems:
            if match.start() > at:
                yield Piece(text[at : match.start()], False)
            yield Piece(match.group(), True)
            at = match.end()
    if at < len(text):
        yield Piece(text[at:], False)


def stems_of(text: str) -> set[str]:
    return {stem(word) for word in words(text)}
