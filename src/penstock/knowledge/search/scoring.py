"""The candidates of a search read and scored, only as many as it takes to know which are the best.

Telling the words of a passage sentence by sentence takes a quarter of a millisecond; what its score is at most is
known in a fortieth of that. So they are taken in the order of the latter, until the wanted ones cannot be beaten.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from penstock.knowledge.lexical import PassageWords, most_share
from penstock.knowledge.search.hits import hit_of, mixed
from penstock.knowledge.search.mixing import Candidates
from penstock.knowledge.search.plan import Plan
from penstock.knowledge.search.words import WordSearch
from penstock.knowledge.stores.records import StoredChunk
from penstock.knowledge.values import Hit

ROUNDING = 1e-9


class Look(Struct, frozen=True):
    """A candidate before it is read for one phrasing; `most` is what it can score."""

    most: float
    chunk: StoredChunk
    cosine: float | None
    search: WordSearch


def scored(
    plan: Plan, chosen: Sequence[Candidates], stored: Mapping[int, StoredChunk], words: PassageWords
) -> list[Hit]:
    """At least the `plan.wanted` best, best first, equal ones by row; each by the phrasing that it fits best."""
    best: dict[int, Hit] = {}
    for look in sorted(looks(plan, chosen, stored), key=lambda look: -look.most):
        if cannot_be_beaten(best.values(), plan.wanted, look.most):
            break
        share = words.share(look.chunk, look.search.weights, plan.average)
        hit = hit_of(look.chunk, look.cosine, share, plan.weight)
        known = best.get(look.chunk.row)
        if known is None or hit.score > known.score:
            best[look.chunk.row] = hit
    return [hit for _, hit in sorted(best.items(), key=lambda item: (-item[1].score, item[0]))]


def cannot_be_beaten(hits: Collection[Hit], wanted: int, most: float) -> bool:
    """Whether there are so many wanted ones above what any other can score."""
    if len(hits) < wanted:
        return False
    return not wanted or most < sorted(hit.score for hit in hits)[-wanted]


def looks(plan: Plan, chosen: Sequence[Candidates], stored: Mapping[int, StoredChunk]) -> list[Look]:
    """Passages that were purged meanwhile are left out."""
    found = []
    for search, candidates in zip(plan.searches, chosen, strict=True):
        for row, value in zip(candidates.rows.tolist(), candidates.cosines.tolist(), strict=True):
            chunk = stored.get(row)
            if chunk is not None:
                cosine = None if math.isnan(value) else value
                most = mixed(cosine, most_share(chunk, search.weights, plan.average), plan.weight)
                found.append(Look(most + ROUNDING, chunk, cosine, search))
    return found
