"""How many passages are enough: the fewest among which as many answers are found as among the most, but for noise.

More passages never find less, so that the best share alone would always choose the most; and each one costs a model
its time, and lends a wrong sentence another chance. Questions that name a document and no quote say nothing here:
where it was found, its answer need not be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from penstock.knowledge.tune.questions import Questions
from penstock.knowledge.tune.scoring import Found, mean

DEPTHS = (2, 3, 4, 5, 6, 8, 10)
MOST = 20
LEAST_GAIN = 0.005
"""By which more passages must find more answers on the questions held out."""


class Depth(Struct, frozen=True):
    """A number of passages, and the share of the questions of either half with an answer among so many."""

    passages: int
    choosing: float
    held_out: float


def depths_of(found: Sequence[Found], questions: Questions, depths: Sequence[int]) -> tuple[Depth, ...]:
    """The shares for each number of passages, fewest first; none where a half has no question with a quote."""
    halves = {chooses: quoted_half(questions, chooses=chooses) for chooses in (True, False)}
    if not all(halves.values()):
        return ()

    def share(passages: int, *, chooses: bool) -> float:
        return mean(1 <= found[at].place <= passages for at in halves[chooses])

    return tuple(Depth(each, share(each, chooses=True), share(each, chooses=False)) for each in sorted(set(depths)))


def quoted_half(questions: Questions, *, chooses: bool) -> tuple[int, ...]:
    return tuple(at for at in questions.half(chooses=chooses) if questions.questions[at].spans)


def enough(depths: Sequence[Depth], questions: Questions, present: int) -> int:
    """The fewest passages within the noise of the most; `present`, one of the depths, where the questions held out
    do not bear that out, and where there are no depths."""
    if not depths:
        return present
    most = depths[-1]
    chosen = next(
        each
        for each in depths
        if each.choosing >= most.choosing - noise(most.choosing, len(quoted_half(questions, chooses=True)))
    )
    now = next(each for each in depths if each.passages == present)
    if chosen.passages < present:
        lost = noise(now.held_out, len(quoted_half(questions, chooses=False)))
        return chosen.passages if chosen.held_out >= now.held_out - lost else present
    return chosen.passages if chosen.held_out >= now.held_out + LEAST_GAIN else present


def noise(share: float, questions: int) -> float:
    """The standard error of a share, of two questions more than there are, one found and one not: so it is not 0
    where all were found."""
    smoothed = (share * questions + 1) / (questions + 2)
    return math.sqrt(smoothed * (1 - smoothed) / (questions + 2))
