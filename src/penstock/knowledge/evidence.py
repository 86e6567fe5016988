"""From passages to the sentences that answer a question, each a verified quote.

Words are compared first, for every sentence; only the best few are embedded, in one urgent batch, so that
evidence reaches the reader within 50 ms of the question.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from penstock.knowledge.abstain import Calibration, Fit, probability, specific_share
from penstock.knowledge.question import Question, analyse
from penstock.knowledge.ranking import Idf, Measures, Neighbourhood, idf_of, measure
from penstock.knowledge.sentences import split_sentences, table_rows
from penstock.knowledge.terms import terms
from penstock.knowledge.values import Hit, SearchResult
from penstock.seams import Embedder

SEARCHED = 10
"""Passages to search for, at least."""

PASSAGES = 5
"""Passages whose sentences are candidates where an app does not say; the others found only weigh terms."""

EMBEDDED = 10
"""Candidates that are embedded. Measured: with 8 the right sentence is found as often as with all."""

EMBEDDED_CHARACTERS = 1000
"""Text of theirs that is embedded, at least of the best four: long sentences and rows of tables would make the
reader wait more than 50 ms."""

REMEMBERED = 4096
"""Sentence vectors kept, 1.5 kB each at 384 dimensions."""

NEXT_BEST_SHARE = 0.01
"""A further sentence is quoted only where its share of the candidates' softmax is at least this."""

MARKER = re.compile(r"(?:(?:[-*+•‣◦▪·–>]|\(?\d{1,3}[.)]|#{1,6})\s+)+")
HEADING = re.compile(r"#{1,6}\s")


class Sentence(Struct, frozen=True):
    """A candidate: characters `start` to `end` of its passage's document; `at` is its passage's rank."""

    hit: Hit
    at: int
    start: int
    end: int
    text: str
    around: Neighbourhood

    @property
    def number(self) -> int:
        """What its passage is called in marks and prompts, from 1."""
        return self.at + 1

    @property
    def said(self) -> frozenset[str]:
        """Its terms and those of the sentence before, which its pronouns may point to."""
        return self.around.before.union(terms(self.text))


class Ranked(Struct, frozen=True):
    """A sentence with its measures and its score; `share` is its softmax among the candidates."""

    sentence: Sentence
    measures: Measures
    score: float
    share: float


class Evidence(Struct, frozen=True):
    """What was found: sentences best first, the probability that they answer, and what the encoder read."""

    question: Question
    passages: tuple[Hit, ...]
    ranked: tuple[Ranked, ...]
    fit: Fit | None
    probability: float
    tokens: int

    def best(self, limit: int) -> tuple[Ranked, ...]:
        """The sentences to quote: the best one, and up to `limit` where the next are likely to add something.

        Sentences of one passage come in its order, at the place of the best of them.
        """
        chosen = [
            ranked for at, ranked in enumerate(self.ranked[:limit]) if at == 0 or ranked.share >= NEXT_BEST_SHARE
        ]
        first = {ranked.sentence.at: at for at, ranked in reversed(list(enumerate(chosen)))}
        return tuple(sorted(chosen, key=lambda ranked: (first[ranked.sentence.at], ranked.sentence.start)))


class SentenceVectors:
    """The vectors of sentences, remembered for those met lately: popular passages come back."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self._known: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()

    async def of(self, texts: Sequence[str]) -> tuple[list[NDArray[np.float32]], int]:
        """A vector of length 1 for each text, and the tokens that the encoder read for the new ones."""
        keys = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        found = {key: self._known[key] for key in keys if key not in new}
        tokens = 0
        if new:
            embeddings = await self.embedder.embed(list(new.values()), urgent=True)
            found.update(zip(new, embeddings.vectors, strict=True))
            tokens = embeddings.tokens
        self._known.update(found)
        for key in found:
            self._known.move_to_end(key)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return [found[key] for key in keys], tokens


class EvidenceFinder:
    """Ranks the sentences of the best `passages` for a question; up to `embedded` of them by their vectors."""

    def __init__(
        self,
        vectors: SentenceVectors,
        calibration: Calibration,
        *,
        passages: int = PASSAGES,
        embedded: int = EMBEDDED,
    ) -> None:
        self._vectors = vectors
        self._calibration = calibration
        self.passages = passages
        self._embedded = embedded

    async def find(self, text: str, found: SearchResult) -> Evidence:
        """Evidence for the question `text` in what a search for it found."""
        question, hits = analyse(text), found.hits[: self.passages]
        idf = idf_of([hit.text for hit in found.hits])
        model = self._calibration.ranking
        candidates = [
            (sentence, measure(question, sentence.text, sentence.around, idf)) for sentence in candidates_of(hits)
        ]
        candidates.sort(key=lambda candidate: -model.score(candidate[1]))
        candidates = candidates[: affordable([sentence.text for sentence, _ in candidates[: self._embedded]])]
        vectors, tokens = await self._vectors.of([sentence.text for sentence, _ in candidates])
        measured = [
            (sentence, replace(measures, cosine=float(vector @ found.vector)))
            for (sentence, measures), vector in zip(candidates, vectors, strict=True)
        ]
        ranked = _ranked([(sentence, measures, model.score(measures)) for sentence, measures in measured])
        fit = fit_of(question, ranked, hits, idf) if ranked else None
        answered = probability(self._calibration.answered, fit) if fit else 0.0
        return Evidence(question, hits, ranked, fit, answered, tokens)


def affordable(texts: Sequence[str]) -> int:
    """How many of the first texts can be embedded before the reader waits too long."""
    left = EMBEDDED_CHARACTERS
    for number, text in enumerate(texts):
        left -= len(text)
        if left < 0 and number >= 4:
            return number
    return len(texts)


def candidates_of(hits: Sequence[Hit]) -> Iterator[Sentence]:
    """The sentences of passages that can be quoted. Headings, questions and what has no words are context only.

    What stands before a row is the first row of its table, which as a rule names the columns.
    """
    seen: set[str] = set()
    for at, hit in enumerate(hits):
        spans = split_sentences(hit.text)
        parts = [hit.text[span.start : span.end] for span in spans]
        about = " ".join((hit.title, *hit.heading))
        around = [frozenset(terms(part)) for part in (about, *parts, "")]
        passage = frozenset[str]().union(*around)
        tables = {row.start: row.table for row in table_rows(hit.text, 0, len(hit.text))}
        numbers = {span.start: number for number, span in enumerate(spans)}
        for number, (span, part) in enumerate(zip(spans, parts, strict=True)):
            quote = part[_marker(part) :]
            if not _quotable(part, quote, (hit.title, *hit.heading)) or quote in seen:
                continue
            seen.add(quote)
            head = tables.get(span.start, span.start)
            before = number if head == span.start else numbers.get(head, number - 1) + 1
            cosine = hit.vector_score if hit.vector_score is not None else 0.0
            yield Sentence(
                hit,
                at,
                hit.start + span.end - len(quote),
                hit.start + span.end,
                quote,
                Neighbourhood(around[before], around[number + 2], passage, cosine, hit.text_score),
            )


def _marker(part: str) -> int:
    """The length of the list or heading mark before a sentence."""
    match = MARKER.match(part)
    return match.end() if match else 0


def _quotable(part: str, quote: str, headings: Sequence[str]) -> bool:
    return (
        not HEADING.match(part)
        and part not in headings
        and not quote.rstrip("\"'”’)»").endswith(("?", "？", "؟"))
        and sum(char.isalnum() for char in quote) >= 2
    )


def fit_of(question: Question, ranked: Sequence[Ranked], hits: Sequence[Hit], idf: Idf) -> Fit:
    """How well the best evidence fits the question."""
    best = ranked[0]
    return Fit(
        cosine=max(candidate.measures.cosine for candidate in ranked),
        passage_cosine=max(hit.vector_score or 0.0 for hit in hits),
        context=best.measures.coverage + best.measures.before,
        specific=specific_share(question.text, terms_of(hits), idf),
    )


def terms_of(hits: Sequence[Hit]) -> frozenset[str]:
    """All that passages say, with what stands above them."""
    return frozenset(term for hit in hits for term in terms(" ".join((hit.title, *hit.heading, hit.text))))


def _ranked(scored: list[tuple[Sentence, Measures, float]]) -> tuple[Ranked, ...]:
    scored.sort(key=lambda candidate: -candidate[2])
    top = scored[0][2] if scored else 0.0
    total = sum(math.exp(score - top) for _, _, score in scored)
    return tuple(
        Ranked(sentence, measures, score, math.exp(score - top) / total) for sentence, measures, score in scored
    )
