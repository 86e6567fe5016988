"""Finds the answer to a question that was asked before in other words.

Everything around the question (the model, the system message, earlier turns, tools, parameters, whose it is) must
be the same; only the last message of the user is compared by meaning. Two questions count as the same when their
words allow it (`wording`) and the cosine of their vectors reaches a threshold. Most questions have no counterpart
with the same words, and for those nothing is embedded: they cost some microseconds.

The threshold is calibrated by `benchmarks/semantic_cache.py`, and `calibration.json` keeps what it measured.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Sequence
from functools import cache
from importlib import resources

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from penstock.errors import PenstockError
from penstock.exchange import Exchange, Usage
from penstock.gateway.cache.key import Question
from penstock.gateway.cache.repository import QuestionRow
from penstock.gateway.cache.sqlite import SqliteStore
from penstock.gateway.cache.wording import may_mean_the_same, signature
from penstock.seams import Embedder

logger = logging.getLogger(__name__)

PATIENCE = 0.1
"""Seconds that a request waits for the vectors of its question before it goes on without."""

MAX_WORDINGS = 16
"""Questions of the same words that are kept; more would mean that their vectors are far apart."""


class Measured(Struct, frozen=True):
    """Shares of the questions of the half that the threshold was not fitted on.

    `hits` found the answer to the same question in other words, `false_hits` that to another question, at most
    `false_hits_upper` with 95% confidence. `altered` are by kind the shares of questions that were changed in one
    point and still found the answer to the original.
    """

    questions: int
    hits: float
    false_hits: float
    false_hits_upper: float
    altered: dict[str, float]


class SemanticCalibration(Struct, frozen=True, forbid_unknown_fields=True):
    """The threshold of one embedder and how it did. `bound` is what `false_hits_upper` was fitted to stay under."""

    made_by: str
    embedder: str
    threshold: float
    bound: float
    measured: Measured


@cache
def calibration() -> SemanticCalibration:
    """What ships with the package."""
    data = resources.files(__package__).joinpath("calibration.json").read_bytes()
    return msgspec.json.decode(data, type=SemanticCalibration)


class Likeness(Struct, frozen=True):
    """A question that means the same: the key of its answer, and how near it is."""

    key: bytes
    cosine: float


class Remembered:
    """A question with an answer. `vector` is made when it is first compared."""

    __slots__ = ("key", "text", "vector")

    def __init__(self, key: bytes, text: str) -> None:
        self.key = key
        self.text = text
        self.vector: NDArray[np.float32] | None = None


class SemanticIndex:
    """The questions whose answers are stored; at most `max_questions`, those used longest ago are forgotten.

    With a `SqliteStore` they survive a restart, with the others each process knows those that it has seen.
    """

    def __init__(
        self, embedder: Embedder, threshold: float, max_questions: int, disk: SqliteStore | None = None
    ) -> None:
        self.threshold = threshold
        self._embedder = embedder
        self._max_questions = max_questions
        self._disk = disk
        self._groups: OrderedDict[bytes, list[Remembered]] = OrderedDict()
        self._count = 0
        for row in disk.questions(max_questions) if disk is not None else ():
            self._add(row.key, Question(row.text, row.context))

    def __len__(self) -> int:
        return self._count

    async def nearest(self, question: Question, exchange: Exchange) -> Likeness | None:
        """The stored question that means the same, if there is one and its vector is there in time."""
        place = place_of(question)
        group = self._groups.get(place)
        if group is None:
            return None
        self._groups.move_to_end(place)
        alike = [each for each in group if may_mean_the_same(each.text, question.text)]
        vector = await self._vectors(question.text, alike, exchange) if alike else None
        if vector is None:
            return None
        scored = [(float(vector @ each.vector), each.key) for each in alike if each.vector is not None]
        cosine, key = max(scored, default=(0.0, b""))
        return Likeness(key, cosine) if cosine >= self.threshold else None

    def remember(self, key: bytes, question: Question) -> None:
        """A question that an entry answers now."""
        self._add(key, question)
        if self._disk is not None:
            self._disk.put_question(QuestionRow(key, question.context, question.text))

    def clear(self, namespace: bytes) -> None:
        """Forgets the questions of one project."""
        for place, group in list(self._groups.items()):
            kept = [each for each in group if not each.key.startswith(namespace)]
            self._count -= len(group) - len(kept)
            if kept:
                self._groups[place] = kept
            else:
                del self._groups[place]

    def _add(self, key: bytes, question: Question) -> None:
        place = place_of(question)
        group = self._groups.setdefault(place, [])
        kept = [each for each in group if each.key != key][-(MAX_WORDINGS - 1) :]
        self._groups[place] = [*kept, Remembered(key, question.text)]
        self._groups.move_to_end(place)
        self._count += len(kept) + 1 - len(group)
        while self._count > self._max_questions and len(self._groups) > 1:
            _, oldest = self._groups.popitem(last=False)
            self._count -= len(oldest)

    async def _vectors(
        self, text: str, alike: Sequence[Remembered], exchange: Exchange
    ) -> NDArray[np.float32] | None:
        """The vector of a text; those that the others lack are made with it."""
        missing = [each for each in alike if each.vector is None]
        texts = [text, *(each.text for each in missing)]
        try:
            async with asyncio.timeout(PATIENCE):
                found = await self._embedder.embed(texts, urgent=True, kind="query")
        except (TimeoutError, PenstockError) as error:
            logger.warning("a question was not compared by meaning: %s", str(error) or type(error).__name__)
            return None
        for each, vector in zip(missing, found.vectors[1:], strict=True):
            each.vector = vector
        if exchange.tracer is not None:
            with exchange.tracer.span("compare question", "embedding", model=self._embedder.name) as span:
                span.set(usage=Usage(found.tokens, cost_nanos=0))
        vector_of_text: NDArray[np.float32] = found.vectors[0]
        return vector_of_text


def place_of(question: Question) -> bytes:
    """Questions that may mean the same stand in one place."""
    return hashlib.blake2b(question.context + signature(question.text), digest_size=16).digest()
