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
from array import array
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

ASCII_STEM = re.compile(rf"(\w{{3,{STEM}}})\w*", re.ASCII)
"""The same, cut to the stem, for text in ASCII."""


class Likeness(Protocol):
    """How much alike two grains of a document are, by their numbers: a cosine."""

    def __call__(self, one: int, other: int) -> float: ...


class WordLikeness:
    """The cosine of the words of two grains, each weighted by how rare it is in the document."""

    def __init__(self, texts: Sequence[str]) -> None:
        counts = [Counter(stems(text.lower())) for text in texts]
        found_in = Counter[str]()
        for count in counts:
            found_in.update(count.keys())
        rare = {word: math.log(len(texts) / number + 1) for word, number in found_in.items()}
        self._vectors = [
            normalised({word: rare[word] if n == 1 else (1 + math.log(n)) * rare[word] for word, n in each.items()})
            for each in counts
        ]

    def __call__(self, one: int, other: int) -> float:
        first, second = self._vectors[one], self._vectors[other]
        if len(second) < len(first):
            first, second = second, first
        return sum([weight * second[word] for word, weight in first.items() if word in second])


def stems(text: str) -> list[str]:
    return ASCII_STEM.findall(text) if text.isascii() else [word[:STEM] for word in WORD.findall(text)]


def normalised(vector: Mapping[str, float]) -> dict[str, float]:
    length = math.sqrt(sum([weight * weight for weight in vector.values()]))
    return {word: weight / length for word, weight in vector.items()} if length else {}


class NearLikeness:
    """What two grains are worth in one passage: their likeness above the mean of all neighbours, whose own is found
    once."""

    def __init__(self, count: int, likeness: Likeness) -> None:
        self._likeness = likeness
        self._near = array("d")
        pairs = 0
        for one in range(count):
            row = [likeness(one, other) for other in range(one + 1, min(count, one + 1 + NEIGHBOURS))]
            pairs += len(row)
            self._near.extend(row + [0.0] * (NEIGHBOURS - len(row)))
        self._usual = sum(self._near) / pairs if pairs else 0.0

    def __call__(self, one: int, other: int) -> float:
        """Of grain `one` and a later one."""
        away = other - one - 1
        near = self._near[one * NEIGHBOURS + away] if away < NEIGHBOURS else self._likeness(one, other)
        return near - self._usual


def joined(grains: Sequence[Unit], likeness: Likeness, limit: int) -> list[tuple[int, int]]:
    """Passages of at most `limit` tokens as ranges of grains; a section that fits is one, whatever it is about."""
    worth = NearLikeness(len(grains), likeness)
    found: list[tuple[int, int]] = []
    first = 0
    for at in range(1, len(grains) + 1):
        if at == len(grains) or grains[at].section != grains[first].section:
            found.extend(cut(grains, (first, at), limit, worth))
            first = at
    return found


def cut(grains: Sequence[Unit], section: tuple[int, int], limit: int, worth: Likeness) -> list[tuple[int, int]]:
    """The best ranges of the grains `section`; `worth` is that of two grains in one passage."""
    low, high = section
    sizes = [grain.tokens for grain in grains[low:high]]
    if sum(sizes) <= limit:
        return [section]
    opening = [BLOCK_WORTH if grain.first else 0.0 for grain in grains[low:high]]
    closing = [NEVER if grain.opens else 0.0 for grain in grains[low:high]]
    best = [0.0]  # of the first grains, by how many
    back = [0]
    rows = [0.0] * len(sizes)  # of each grain: what it is worth with those after it
    for last, size in enumerate(sizes):
        tokens, inside = size, 0.0
        start = start_of_top = last
        top = best[last] + (opening[last] - closing[last] - short_price(tokens, limit))
        while start:
            start -= 1
            tokens += sizes[start]
            if tokens > limit:
                break
            rows[start] += worth(low + start, low + last)
            inside += rows[start]
            value = best[start] + inside + (opening[start] - closing[last] - short_price(tokens, limit))
            if value > top:
                top, start_of_top = value, start
        best.append(top)
        back.append(start_of_top)
    ranges = []
    end = len(sizes)
    while end:
        ranges.append((low + back[end], low + end))
        end = back[end]
    return ranges[::-1]


def short_price(tokens: int, limit: int) -> float:
    """What is taken from a passage for how much of its length it leaves."""
    missing = 1 - tokens / limit
    return SHORT_PRICE * missing * missing if missing > 0 else 0.0
