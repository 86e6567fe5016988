"""Passages by their words, in two steps, so that the size of a knowledge base hardly counts.

First only where the words of the question are: the passages with the rarest of them, until `MAX_MATCHES` are
gathered, weighed by the rarity of the words that they hold. Scoring a match as SQLite's BM25 does costs ten times
what listing it does. The best of them by that measure and by their vectors are then read, and scored by how often
and how close together they have the words.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from penstock.knowledge.lexical import QuestionTerm, WordWeights, question_terms
from penstock.knowledge.search.mixing import NOTHING, Weighed, best_first
from penstock.knowledge.stores.reader import SqliteReader
from penstock.knowledge.stores.records import Published

MAX_MATCHES = 30_000
"""Places of words that are looked at for one question, unless they are in too few passages that may be found."""

ONCE = 1 / 2.2
"""What BM25 gives a word that stands once in a passage of average length, as a share of the most that it gives."""

CHECKED_FIRST = 512
DEEPER = 8
KEPT_COUNTS = 20_000
END = (0, QuestionTerm("", ""))
"""After the last word of a question."""

Allowed = Callable[[NDArray[np.int64]], NDArray[np.bool_]]
"""Which of these passages a search may find."""


class WordSearch(Struct, frozen=True):
    """The words of one phrasing of a question, and how rare they are in a generation."""

    terms: tuple[QuestionTerm, ...]
    counts: tuple[int, ...]
    weights: WordWeights

    def rarest_first(self) -> list[tuple[int, QuestionTerm]]:
        """The words that are there, each with the number of its passages."""
        pairs = sorted(zip(self.counts, self.terms, strict=True), key=lambda pair: pair[0])
        return [pair for pair in pairs if pair[0]]


class TermCounts:
    """In how many passages words are, the last ones asked for in memory: counting a common word is not cheap."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, str], int] = OrderedDict()

    def search_for(self, text: str, reader: SqliteReader, generation: Published) -> WordSearch:
        terms = question_terms(text)
        counts = tuple(self._count(reader, generation.number, term.phrase) for term in terms)
        return WordSearch(terms, counts, WordWeights.of(terms, counts, generation.chunks))

    def _count(self, reader: SqliteReader, number: int, phrase: str) -> int:
        key = (number, phrase)
        known = self._kept.pop(key, None)
        self._kept[key] = count = reader.term_count(phrase) if known is None else known
        if len(self._kept) > KEPT_COUNTS:
            self._kept.popitem(last=False)
        return count


def passages_with(search: WordSearch, reader: SqliteReader, allowed: Allowed, limit: int) -> Weighed:
    """At most `limit` allowed passages with the most telling words of the question, best first.

    The value is the share of the question's words that they hold, by rarity, as BM25 would have it at best guess.
    Common words are only looked up where the rarer ones are in too few of them.
    """
    held = Held()
    found = NOTHING
    gathered = 0
    words = search.rarest_first()
    for (_, term), (following, _) in pairwise([*words, END]):
        rows = reader.rows_with(term.phrase)
        held.add(rows, search.weights.by_stem[term.stem])
        gathered += len(rows)
        if following and gathered + following <= MAX_MATCHES:
            continue
        found = first_allowed(held.summed(), allowed, limit)
        if len(found.rows) >= limit:
            break
    total = search.weights.total
    return Weighed(found.rows, ONCE * found.values / total) if total else NOTHING


class Held:
    """What each passage holds of the question, word by word added."""

    def __init__(self) -> None:
        self._rows: list[NDArray[np.int64]] = []
        self._weights: list[NDArray[np.float64]] = []

    def add(self, rows: NDArray[np.int64], weight: float) -> None:
        self._rows.append(rows)
        self._weights.append(np.full(len(rows), weight))

    def summed(self) -> Weighed:
        """Each row once, ascending, with the weight of all its words."""
        rows = np.concatenate(self._rows)
        order = np.argsort(rows, kind="stable")  # rows of one word are ascending: this only merges them
        rows = rows[order]
        starts = np.flatnonzero(np.diff(rows, prepend=-1))
        weights = np.concatenate(self._weights)[order]
        return Weighed(rows[starts], np.add.reduceat(weights, starts) if len(starts) else weights)


def first_allowed(held: Weighed, allowed: Allowed, limit: int) -> Weighed:
    """The heaviest `limit` rows that are allowed, best first, equal ones by row; looked for as deep as it takes."""
    depth = CHECKED_FIRST
    while True:
        at = best_first(held.values, depth)
        at = at[allowed(held.rows[at])][:limit]
        if len(at) >= limit or depth >= len(held.rows):
            return Weighed(held.rows[at], held.values[at])
        depth *= DEEPER


def phrasings(text: str, others: Sequence[str]) -> tuple[str, ...]:
    """A question and its other phrasings, each once."""
    return tuple(dict.fromkeys([text, *(each for each in others if each.strip())]))
