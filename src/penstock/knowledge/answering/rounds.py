"""Rounds of search: when the first does not find enough, another with an altered query, a bounded number of times.

    search → rank → enough? → else: the part that is missing, with the names found so far → search → …

What a round found stays found: a later one adds passages, and one that fails or is cut off takes none away. Each is
a span that says what was searched for and why it went on or stopped.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from itertools import zip_longest

from msgspec import Struct
from msgspec.structs import replace

from penstock.errors import PenstockError
from penstock.exchange import Exchange
from penstock.knowledge.abstain import present
from penstock.knowledge.answering.hops import bridged, covered, found_names, missing_names, parts_of
from penstock.knowledge.answering.modelled import span
from penstock.knowledge.base import Query
from penstock.knowledge.evidence import Evidence, EvidenceFinder, Ranked
from penstock.knowledge.question import leans_on_context
from penstock.knowledge.terms import terms
from penstock.knowledge.values import Hit, SearchResult
from penstock.seams import Tracer

ENOUGH = 0.7
"""The share of a part's words in one sentence and the one before from which on it counts as found."""

Search = Callable[[Query, Tracer | None], Awaitable[SearchResult]]

Rewrite = Callable[[Exchange, str, Evidence], Awaitable[str]]
"""A model's better query for a question of which this was found; "" for none."""


class Next(Struct, frozen=True):
    """What to search for in the next round, and why; `part` is the part of the question that it is about."""

    query: str
    reason: str
    part: str = ""


class Round(Struct, frozen=True):
    """One search: what it was for, and what it found. `part` is the part of the question that it was about,
    `phrasings` are what was searched for with it."""

    query: str
    found: SearchResult
    evidence: Evidence
    part: str = ""
    phrasings: tuple[str, ...] = ()


class Found(Struct, frozen=True):
    """What all rounds found together: the evidence to answer from, and the rounds themselves."""

    evidence: Evidence
    rounds: tuple[Round, ...]

    @property
    def generation(self) -> int:
        """That was searched; all rounds search the same."""
        return self.rounds[0].found.generation

    @property
    def searched(self) -> tuple[str, ...]:
        """The words of all searches, in order."""
        return tuple(dict.fromkeys(words for each in self.rounds for words in (each.query, *each.phrasings)))


class RoundSettings(Struct, frozen=True, kw_only=True):
    """At most `rounds`; below `thin`, a probability, the evidence is too thin to stop with."""

    rounds: int = 2
    thin: float = 0.3
    threshold: float = 0.0


class Rounds:
    """Searches until enough is found. `rewrite` lets a model word the next query."""

    def __init__(
        self, search: Search, finder: EvidenceFinder, settings: RoundSettings, rewrite: Rewrite | None = None
    ) -> None:
        self._search = search
        self.finder = finder
        self._settings = settings
        self._rewrite = rewrite

    async def find(self, query: Query, exchange: Exchange) -> Found:
        """Raises what the first search raises; later ones that fail leave what was found before."""
        question = query.text
        first, upcoming = await self._round(query, Next(question, "the question as it was asked"), (), exchange)
        done: tuple[Round, ...] = (first,)
        while upcoming is not None and len(done) < self._settings.rounds:
            again = replace(query, text=upcoming.query, queries=(), generation=first.found.generation)
            try:
                latest, upcoming = await self._round(again, upcoming, done, exchange)
            except PenstockError:
                break  # the span says what went wrong; what was found is not lost by it
            done = (*done, latest)
        return Found(combined(done, self._settings.threshold, self.finder.passages), done)

    async def _round(
        self, query: Query, wanted: Next, before: tuple[Round, ...], exchange: Exchange
    ) -> tuple[Round, Next | None]:
        number = len(before) + 1
        with span(exchange.tracer, f"round {number}", query=wanted.query) as recorded:
            if recorded is not None:
                recorded.set(**{"penstock.round": number, "penstock.round.reason": wanted.reason})
            tracer = None if recorded is None else recorded.tracer
            found = await self._search(query, tracer)
            if before and not wanted.part:
                found = joined(before[0].found, found)
            question = wanted.part or (before[0].query if before else query.text)
            evidence = await self._rank(question, found, tracer)
            this = Round(query.text, found, evidence, wanted.part, query.queries)
            upcoming = await self._decide((*before, this), exchange)
            if recorded is not None:
                recorded.set(**decision_attributes(this, upcoming, number < self._settings.rounds))
        return this, upcoming

    async def _rank(self, question: str, found: SearchResult, tracer: Tracer | None) -> Evidence:
        with span(tracer, "evidence", "reranker", question=question) as recorded:
            evidence = await self.finder.find(question, found)
            if recorded is not None:
                recorded.set(**evidence_attributes(evidence, self._settings.threshold))
            return evidence

    async def _decide(self, done: tuple[Round, ...], exchange: Exchange) -> Next | None:
        """What to search for next, `None` where enough is found or no more rounds are allowed."""
        if len(done) >= self._settings.rounds:
            return None
        question = done[0].evidence.question.text
        upcoming = next_query(question, done, self._settings.thin)
        if upcoming is None or self._rewrite is None:
            return upcoming
        with contextlib.suppress(PenstockError):  # a model that cannot answer: the query made from words will do
            if query := await self._rewrite(exchange, upcoming.part or question, done[-1].evidence):
                return replace(upcoming, query=query, reason=f"{upcoming.reason}; worded by the model")
        return upcoming


def next_query(question: str, done: Sequence[Round], thin: float) -> Next | None:
    """What is still missing, `None` where nothing is."""
    parts = parts_of(question)
    best = max(done, key=lambda each: each.evidence.probability).evidence
    if len(parts) > 1:
        shares = [(max(covered(part, each.evidence) for each in done), part) for part in parts]
        asked = {each.query for each in done}
        open_parts = [(share, part) for share, part in shares if share < ENOUGH]
        for share, part in sorted(open_parts):
            query = standing_alone(part, parts)
            if query not in asked:
                return Next(
                    query, f"the question has {len(parts)} parts, and {share:.0%} of this one is covered", part
                )
        return None
    if len(done) > 1:
        return None
    names = missing_names(question, best)
    if names and best.probability < 1 - thin:
        return Next(question_about(question, best), f"no passage has {', '.join(names[:3])}")
    if bridged(question) and covered(question, best) < ENOUGH:
        led = found_names(question, best)
        if led:
            return Next(f"{uncovered(question, best)} {' '.join(led)}".strip(), "one thing is named by another")
    if best.probability < thin:
        return Next(question_about(question, best), f"the evidence is thin: {best.probability:.0%}")
    return None


def standing_alone(part: str, parts: Sequence[str]) -> str:
    """A part of a question with the names that its pronouns stand for."""
    if part == parts[0] or not leans_on_context(part):
        return part
    known = set(terms(part))
    added = [word.strip(",.?!") for word in parts[0].split() if (found := terms(word)) and known.isdisjoint(found)]
    return f"{part} {' '.join(added)}"


def uncovered(question: str, evidence: Evidence) -> str:
    """The words of a question that its best sentence lacks."""
    if not evidence.ranked:
        return question
    said = evidence.ranked[0].sentence.said
    return " ".join(
        word.strip(",.?!") for word in question.split() if not present(terms(word), said) and terms(word)
    )


def question_about(question: str, evidence: Evidence) -> str:
    """A question with what a sentence that nearly answers it is about: its names and the title above it."""
    if not evidence.ranked:
        return question
    hit = evidence.ranked[0].sentence.hit
    known = set(terms(question))
    about = [*found_names(question, evidence), *(word for word in hit.title.split() if word.isalpha())]
    added = [word for word in dict.fromkeys(about) if (found := terms(word)) and known.isdisjoint(found)]
    return f"{question} {' '.join(added[:4])}".strip()


def combined(rounds: Sequence[Round], threshold: float, limit: int) -> Evidence:
    """One evidence of several: at most `limit` passages, and sentences, of each in turn, the first one first."""
    first = rounds[0].evidence
    if len(rounds) == 1:
        return first
    if not rounds[-1].part:
        return rounds[-1].evidence if rounds[-1].evidence.probability > first.probability else first
    passages = interleaved([each.found.hits for each in rounds])[:limit]
    at = {hit.chunk_id: number for number, hit in enumerate(passages)}
    useful = [each.evidence for each in rounds if each.evidence.probability >= threshold] or [first]
    ranked: dict[tuple[str, int], Ranked] = {}
    for each in (one for turn in zip_longest(*(evidence.ranked for evidence in useful)) for one in turn):
        if each is not None and each.sentence.hit.chunk_id in at:
            placed = replace(each, sentence=replace(each.sentence, at=at[each.sentence.hit.chunk_id]))
            ranked.setdefault((each.sentence.hit.document_id, each.sentence.start), placed)
    return Evidence(
        first.question,
        tuple(passages),
        tuple(ranked.values()),
        first.fit,
        max(each.evidence.probability for each in rounds),
        sum(each.evidence.tokens for each in rounds),
    )


def joined(first: SearchResult, again: SearchResult) -> SearchResult:
    """The passages of a search and of one with an altered query, as found for the first.

    A new passage counts as no nearer to the question than the farthest one found for it: what an altered query is
    near to proves nothing about the question.
    """
    known = {hit.chunk_id: hit for hit in first.hits}
    farthest = min((hit.vector_score or 0.0 for hit in first.hits), default=0.0)
    fewest = min((hit.text_score for hit in first.hits), default=0.0)
    hits = []
    for hit in interleaved([first.hits, again.hits]):
        cosine = min(farthest, hit.vector_score or 0.0)
        hits.append(known.get(hit.chunk_id) or replace(hit, vector_score=cosine, text_score=fewest))
    return replace(first, hits=tuple(hits))


def interleaved(found: Sequence[Sequence[Hit]]) -> list[Hit]:
    """The hits of several searches in turn, each once."""
    ordered: dict[str, Hit] = {}
    for turn in zip_longest(*found):
        for hit in turn:
            if hit is not None:
                ordered.setdefault(hit.chunk_id, hit)
    return list(ordered.values())


def decision_attributes(this: Round, upcoming: Next | None, may_go_on: bool) -> dict[str, object]:
    """What a round decided, for its span."""
    enough = "enough was found" if may_go_on else "no more rounds are allowed"
    return {
        "penstock.round.probability": round(this.evidence.probability, 4),
        "penstock.round.goes_on": upcoming is not None,
        "penstock.round.next": upcoming.query if upcoming else None,
        "penstock.round.decision": upcoming.reason if upcoming else enough,
    }


def evidence_attributes(evidence: Evidence, threshold: float) -> dict[str, object]:
    return {
        "probability": round(evidence.probability, 4),
        "threshold": threshold,
        "tokens": evidence.tokens,
        "sentences": [
            {
                "document": ranked.sentence.hit.document,
                "start": ranked.sentence.start,
                "end": ranked.sentence.end,
                "text": ranked.sentence.text,
                "score": round(ranked.score, 4),
                "cosine": round(ranked.measures.cosine, 4),
            }
            for ranked in evidence.ranked[:5]
        ],
    }
