"""What an answer hangs on: the question answered again with each passage left out.

    found = the passages of the question, as they are searched today or in the generation of the trace
    for each of the best: the same passages without it → ranked, answered → how much of the answer is gone

A passage matters as far as the answer's words change without it, the best sentence gets worse, and the probability
falls. All is ranked again, not guessed from the first ranking, so that a passage that only supports another is
seen, and one whose twin says the same has little to say. Where a model writes, it writes again each time, at
temperature 0 and with one seed.
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter

from msgspec import Struct
from msgspec.structs import replace

from penstock.errors import NotFound
from penstock.exchange import Exchange
from penstock.knowledge.answer import GroundedApp
from penstock.knowledge.answering.rounds import Found, interleaved
from penstock.knowledge.evidence import Evidence
from penstock.knowledge.terms import words
from penstock.knowledge.values import Hit

WORDS, SCORE, PROBABILITY = 0.6, 0.25, 0.15
"""What the change of the answer's words, of its best score and of its probability count; together 1."""

HANGS = 0.25
"""From this influence on an answer hangs on a passage."""

SEED = 1


class Influence(Struct, frozen=True, kw_only=True):
    """A passage, and what becomes of the answer without it.

    `words_changed` is the share of the answer's words that are others then, `score_lost` how much worse the best
    sentence is (both 0 to 1), `probability` and `answer` are those without the passage. `influence` is all three
    together, 0 to 1.
    """

    document: str
    document_id: str
    chunk_id: str
    title: str
    heading: tuple[str, ...]
    page: int | None
    location: str
    start: int
    end: int
    influence: float
    words_changed: float
    score_lost: float
    probability: float
    answered: bool
    answer: str


class Explained(Struct, frozen=True, kw_only=True):
    """An answer and its passages, the one that it hangs on most first.

    `searched` are the words of all searches. `generation` is what was searched; it is not that of the trace where
    that is no longer kept.
    """

    question: str
    answer: str
    answered: bool
    probability: float
    generation: int
    searched: tuple[str, ...]
    passages: tuple[Influence, ...]

    @property
    def hangs_on(self) -> tuple[Influence, ...]:
        return tuple(each for each in self.passages if each.influence >= HANGS)


async def explain(app: GroundedApp, exchange: Exchange, generation: int | None) -> Explained:
    """Answers a question with and without each of its passages, for whoever `exchange` says asks.

    Raises what answering raises.
    """
    parameters = replace(exchange.parameters, temperature=0.0, seed=SEED)
    exchange = exchange.replace(parameters=parameters, tracer=None)
    found = await found_in(app, exchange, generation)
    hits = interleaved([each.found.hits for each in found.rounds])
    whole = await without(app, found, hits, None)
    text = await answered(app, exchange, whole)
    passages = [
        influence(left, text, whole.evidence, again, await answered(app, exchange, again))
        for left in whole.evidence.passages
        for again in [await without(app, found, hits, left)]
    ]
    return Explained(
        question=found.evidence.question.text,
        answer=text,
        answered=app.answers(whole.evidence),
        probability=round(whole.evidence.probability, 4),
        generation=found.generation,
        searched=found.searched,
        passages=tuple(sorted(passages, key=lambda each: -each.influence)),
    )


async def found_in(app: GroundedApp, exchange: Exchange, generation: int | None) -> Found:
    """What a question finds in a generation, or in the published one where that is gone."""
    with contextlib.suppress(NotFound):
        return await app.find(exchange, generation)
    return await app.find(exchange, None)


async def without(app: GroundedApp, found: Found, hits: list[Hit], left: Hit | None) -> Found:
    """The same passages but one, ranked for the whole question."""
    kept = tuple(hit for hit in hits if left is None or hit.chunk_id != left.chunk_id)
    first = found.rounds[0].found
    evidence = await app.finder.find(found.evidence.question.text, replace(first, hits=kept))
    return replace(found, evidence=evidence)


async def answered(app: GroundedApp, exchange: Exchange, found: Found) -> str:
    """The answer's text; "" where the documents do not say."""
    if not app.answers(found.evidence):
        return ""
    text = ""
    async with contextlib.aclosing(app.told(await app.asked(exchange, found))) as chunks:
        async for chunk in chunks:
            text += chunk.text
    return text


def influence(left: Hit, text: str, whole: Evidence, again: Found, new_text: str) -> Influence:
    evidence = again.evidence
    best = whole.ranked[0].score if whole.ranked else 0.0
    lost = 1.0 if not evidence.ranked else 1 - math.exp(-max(0.0, best - evidence.ranked[0].score))
    fallen = max(0.0, whole.probability - evidence.probability) / max(whole.probability, 1e-9)
    changed = words_changed(text, new_text)
    return Influence(
        document=left.document,
        document_id=left.document_id,
        chunk_id=left.chunk_id,
        title=left.title,
        heading=left.heading,
        page=left.page,
        location=left.location,
        start=left.start,
        end=left.end,
        influence=round(WORDS * changed + SCORE * lost + PROBABILITY * fallen, 4),
        words_changed=round(changed, 4),
        score_lost=round(lost, 4),
        probability=round(evidence.probability, 4),
        answered=bool(new_text),
        answer=new_text,
    )


def words_changed(before: str, after: str) -> float:
    """1 minus the F1 of the words that two texts share."""
    first, second = Counter(words(before)), Counter(words(after))
    if not first and not second:
        return 0.0
    shared = sum((first & second).values())
    return 1 - 2 * shared / (sum(first.values()) + sum(second.values()))
