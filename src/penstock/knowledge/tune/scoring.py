"""How good an order of passages is.

All candidates deliver the same amount of text, so that long passages do not win by their length: of an order, only
the first `BUDGET` characters count.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

from penstock.knowledge.tune.questions import Span, TuneQuestion
from penstock.knowledge.values import Hit

BUDGET = 5000
"""Characters, about five passages of the default size."""

DEPTH = 10
"""Passages by which ways to cut and to mix are compared."""

HOLDS = 0.5
"""The share of a span that a passage must hold to be right."""


class Found(Struct, frozen=True):
    """What came of one question: the rank of the first right passage, 0 for none; the share of the span that is
    in the passages, `None` where the question names only documents; how long the search took; and the rank of the
    first right passage among all that were asked for, whatever their length."""

    rank: int
    recall: float | None
    ms: float
    place: int = 0


class Figures(Struct, frozen=True, kw_only=True):
    """Means over questions. `mrr` is of reciprocal ranks; `worth` is what candidates are compared by."""

    questions: int
    hit1: float
    hit5: float
    mrr: float
    recall: float | None
    ms: float

    @property
    def worth(self) -> float:
        return self.mrr if self.recall is None else (self.mrr + self.recall) / 2


def judged(question: TuneQuestion, hits: Sequence[Hit], ms: float) -> Found:
    delivered = within_budget(hits[:DEPTH])
    rank, place = first_right(question, delivered), first_right(question, hits)
    if not question.spans:
        return Found(rank, None, ms, place)
    return Found(rank, max(held(span, delivered) for span in question.spans), ms, place)


def first_right(question: TuneQuestion, hits: Sequence[Hit]) -> int:
    """The rank of the first passage that is right, 0 for none."""
    return next((number for number, hit in enumerate(hits, start=1) if is_right(question, hit)), 0)


def held(span: Span, hits: Sequence[Hit]) -> float:
    """The share of a span that the passages hold together; what several hold counts once."""
    reached, length = span.start, 0
    for hit in sorted(hits, key=lambda each: each.start):
        if hit.document == span.document:
            low, high = max(hit.start, reached), min(hit.end, span.end)
            length += max(0, high - low)
            reached = max(reached, high)
    return length / (span.end - span.start)


def within_budget(hits: Iterable[Hit]) -> list[Hit]:
    """The first passages, the last one cut short where the budget ends in it."""
    found: list[Hit] = []
    left = BUDGET
    for hit in hits:
        if left <= 0:
            break
        end = min(hit.end, hit.start + left)
        found.append(msgspec.structs.replace(hit, end=end, text=hit.text[: end - hit.start]))
        left -= end - hit.start
    return found


def is_right(question: TuneQuestion, hit: Hit) -> bool:
    if not question.spans:
        return hit.document in question.documents
    return any(overlap(span, hit) >= HOLDS * (span.end - span.start) for span in question.spans)


def overlap(span: Span, hit: Hit) -> int:
    if span.document != hit.document:
        return 0
    return max(0, min(span.end, hit.end) - max(span.start, hit.start))


def figures(found: Sequence[Found]) -> Figures:
    """Raises `ValueError` for no questions."""
    recalls = [each.recall for each in found if each.recall is not None]
    return Figures(
        questions=len(found),
        hit1=mean(each.rank == 1 for each in found),
        hit5=mean(1 <= each.rank <= 5 for each in found),
        mrr=mean(1 / each.rank if each.rank else 0.0 for each in found),
        recall=mean(recalls) if recalls else None,
        ms=round(statistics.median(each.ms for each in found), 1),
    )


def mean(values: Iterable[float]) -> float:
    return round(statistics.fmean(values), 4)
