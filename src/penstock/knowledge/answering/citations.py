"""From ranked sentences to citations, each quote checked against the text of its document."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from urllib.parse import quote as encoded

from msgspec import Struct
from msgspec.structs import replace

from penstock.exchange import Citation
from penstock.knowledge.base import KnowledgeBase, Reader
from penstock.knowledge.evidence import Evidence, Ranked, Sentence

CHARACTERS_PER_TOKEN = 4
"""Of English text, to honour `max_tokens` where no tokenizer is at hand."""

logger = logging.getLogger(__name__)


class Quotation(Struct, frozen=True, kw_only=True):
    """A sentence to cite: under which number, how sure, and for which characters of the answer."""

    sentence: Sentence
    number: int
    score: float
    answer_start: int | None = None
    answer_end: int | None = None

    @property
    def place(self) -> tuple[str, int]:
        """Where the quote begins: the document's id and the character."""
        return self.sentence.hit.document_id, self.sentence.start


async def verified(knowledge: KnowledgeBase, quotations: Sequence[Quotation], reader: Reader) -> list[Quotation]:
    """Those whose sentences stand in their documents exactly where they say, in the same order."""
    ranges = [(each.sentence.hit.document_id, each.sentence.start, each.sentence.end) for each in quotations]
    texts = await asyncio.to_thread(knowledge.texts, ranges, reader) if ranges else []
    kept = []
    for quotation, text in zip(quotations, texts, strict=True):
        if text == quotation.sentence.text:
            kept.append(quotation)
        else:
            sentence = quotation.sentence
            logger.warning("a quote is not in %s at %d; it was left out", sentence.hit.document, sentence.start)
    return await in_their_parts(knowledge, kept)


async def in_their_parts(knowledge: KnowledgeBase, quotations: list[Quotation]) -> list[Quotation]:
    """With the page and place of the part that each stands in, where a larger passage was read."""
    within = [each.sentence for each in quotations if each.sentence.hit.parent is not None]
    places = [(each.hit.chunk_id, each.start) for each in within]
    parts = await asyncio.to_thread(knowledge.siblings_at, places) if places else []
    found = dict(zip(places, parts, strict=True))
    return [in_part(each, found.get((each.sentence.hit.chunk_id, each.sentence.start))) for each in quotations]


def in_part(quotation: Quotation, part: tuple[str, int | None, str] | None) -> Quotation:
    """The quotation as one of a passage by its id, page and location; as it was for `None`."""
    if part is None:
        return quotation
    chunk_id, page, location = part
    sentence = quotation.sentence
    hit = replace(sentence.hit, chunk_id=chunk_id, page=page, location=location)
    return replace(quotation, sentence=replace(sentence, hit=hit))


def citation(knowledge: str, quotation: Quotation) -> Citation:
    """The citation of a quotation that was verified, in the knowledge of this name."""
    sentence, hit = quotation.sentence, quotation.sentence.hit
    return Citation(
        number=quotation.number,
        document_id=hit.document_id,
        document=hit.document,
        title=hit.title,
        chunk_id=hit.chunk_id,
        heading=hit.heading,
        page=hit.page,
        location=hit.location,
        start=sentence.start,
        end=sentence.end,
        quote=sentence.text,
        score=round(quotation.score, 4),
        url=address(knowledge, sentence),
        source_url=hit.url,
        answer_start=quotation.answer_start,
        answer_end=quotation.answer_end,
    )


def address(knowledge: str, sentence: Sentence) -> str:
    """Opens the passage in the console; the HTTP layer puts the server's address before it."""
    hit = sentence.hit
    path = f"/knowledge/{encoded(knowledge, safe='')}/{encoded(hit.document_id, safe='')}"
    return f"{path}?chunk={encoded(hit.chunk_id, safe='')}&start={sentence.start}&end={sentence.end}"


def quoted(ranked: Ranked) -> Quotation:
    """A sentence as a quotation under the number of its passage, from 1; its score says how much of the question it
    is about, 0 to 1."""
    measures = ranked.measures
    score = (max(0.0, measures.cosine) + measures.coverage + measures.before) / 2
    return Quotation(sentence=ranked.sentence, number=ranked.sentence.number, score=min(1.0, score))


def renumbered(quotations: Sequence[Quotation]) -> list[Quotation]:
    """The quotations as 1, 2, 3 …"""
    return [replace(quotation, number=number) for number, quotation in enumerate(quotations, start=1)]


def best_of_each(evidence: Evidence, limit: int) -> list[Quotation]:
    """The best sentence of each of the best passages."""
    best: dict[int, Ranked] = {}
    for ranked in evidence.ranked:
        best.setdefault(ranked.sentence.at, ranked)
    return [quoted(ranked) for ranked in list(best.values())[:limit]]


def best_in(evidence: Evidence, passages: int, limit: int) -> list[Quotation]:
    """The best sentences of the first `passages`."""
    return [quoted(ranked) for ranked in evidence.ranked if ranked.sentence.at < passages][:limit]


def within(max_tokens: int | None, quotations: Sequence[Quotation]) -> list[Quotation]:
    """The first quotation, and those after it that fit into about `max_tokens`."""
    kept: list[Quotation] = []
    left = float("inf") if max_tokens is None else max_tokens * CHARACTERS_PER_TOKEN
    for quotation in quotations:
        left -= len(quotation.sentence.text)
        if kept and left < 0:
            break
        kept.append(quotation)
    return kept
