"""Where a text that is too long is cut: where what stands together belongs together least.

All ways to cut a run of grains are compared by dynamic programming. A passage is worth the likeness of each
pair of its grains above what neighbours in this document usually have, less a price for being shorter than it
could be; so text goes on as long as it speaks of the same things. The sum over pairs above the mean is that of
the cluster chunker in Smith and Troynikov, "Evaluating Chunking Strategies for Retrieval" (Chroma, 2024), with
the words of the grains instead of vectors, after Hearst, "TextTiling" (Computational Linguistics 23, 1997).
`SHORT_PRICE` and `BLOCK_WORTH` were chosen on three of the five corpora of that evaluation.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from penstock.knowledge.chunking.units import Unit

NEIGHBOURS = 5
"""How far apart grains are whose likeness counts as usual in a document."""

SHORT_PRICE = 0.2
"""Of a passage of no length; it falls with the square of what is missing."""

BLOCK_WORTH = 0.05
"""Of beginning where a paragraph does."""

NEVER = 10.0
"""The price of ending on a heading, which no likeness outweighs."""

STEM = 6
WORD = re.compile(r"[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]{1,2}|\w{3,}")
"""Words of three letters and more; pairs of characters in scripts that are written without spaces."""


class Likeness(Protocol):
    """How much alike two grains of a document are, by their numbers: a cosine."""

    def __call__(self, one: int, other: int) -> float: ...


class WordLikeness:
    """The cosine of the words of two grains, each weighted by how rare it is in the document."""

    def __init__(self, texts: Sequence[str]) -> None:
        counts = [Counter(word[:STEM] for word in WORD.findall(text.lower())) for text in texts]
        found_in = Counter(word for count in counts for word in count)
        self._vectors = [
            normalised({word: (1 + math.log(n)) * math.log(len(texts) / found_in[word] + 1) for word, n in each})
            for each in (count.items() for count in counts)
        ]

    def __call__(self, one: int, other: int) -> float:
        first, second = self._vectors[one], self._vectors[other]
        if len(second) < len(first):
            first, second = second, first
        return sum(weight * second[word] for word, weight in first.items() if word in second)


def normalised(vector: Mapping[str, float]) -> dict[str, float]:
    length = math.sqrt(sum(weight * weight for weight in vector.values()))
    return {word: weight / length for word, weight in vector.items()} if length else {}


def joined(grains: Sequence[Unit], likeness: Likeness, limit: int) -> list[tuple[int, int]]:
    """Passages of at most `limit` tokens as ranges of grains; a section that fits is one, whatever it is about."""
    usual = usual_likeness(len(grains), likeness)
    found: list[tuple[int, int]] = []
    first = 0
    for at in range(1, len(grains) + 1):
        if at == len(grains) or grains[at].section != grains[first].section:
            found.extend(cut(grains, (first, at), limit, lambda one, other: likeness(one, other) - usual))
            first = at
    return found


def usual_likeness(count: int, likeness: Likeness) -> float:
    pairs = [(one, other) for one in range(count) for other in range(one + 1, min(count, one + 1 + NEIGHBOURS))]
    return sum(likeness(*pair) for pair in pairs) / len(pairs) if pairs else 0.0


def cut(grains: Sequence[Unit], section: tuple[int, int], limit: int, worth: Likeness) -> list[tuple[int, int]]:
    """The best ranges of the grains `section`; `worth` is that of two grains in one passage."""
    low, high = section
    if sum(grain.tokens for grain in grains[low:high]) <= limit:
        return [section]
    best = [0.0]  # of the first grains, by how many
    back = [low]
    rows = [0.0] * (high - low)  # of each grain: what it is worth with those after it
    for end in range(low + 1, high + 1):
        top, start_of_top = -math.inf, end - 1
        tokens, inside = 0, 0.0
        for start in range(end - 1, low - 1, -1):
            tokens += grains[start].tokens
            if tokens > limit and start < end - 1:
                break
            if start < end - 1:
                rows[start - low] += worth(start, end - 1)
            inside += rows[start - low]
            value = best[start - low] + inside + edges(grains[start], grains[end - 1], tokens / limit)
            if value > top:
                top, start_of_top = value, start
        best.append(top)
        back.append(start_of_top)
    ranges = []
    while high > low:
        ranges.append((back[high - low], high))
        high = back[high - low]
    return ranges[::-1]


def edges(first: Unit, last: Unit, filled: float) -> float:
    """What a passage is worth for where it begins and ends and how much of its length it uses."""
    missing = max(0.0, 1 - filled)
    return (BLOCK_WORTH if first.first else 0.0) - (NEVER if last.opens else 0.0) - SHORT_PRICE * missing * missing
