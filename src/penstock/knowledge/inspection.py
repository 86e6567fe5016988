"""A knowledge base to look at: how a document was cut, what each source gave, and where passages lie on a map."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from penstock.knowledge.landmarks import landmarks
from penstock.knowledge.projection import Plane
from penstock.knowledge.stores import shown
from penstock.knowledge.stores.shown import DocumentPassage, SampledPassage, SourceHeld
from penstock.knowledge.stores.sqlite import SqliteStore
from penstock.knowledge.values import Reader
from penstock.seams import Embedder

__all__ = ["ChunkMap", "DocumentPassage", "Inspection", "SampledPassage", "SourceHeld"]

MOST_PASSAGES = 2_000
MOST_QUESTIONS = 200
KEPT_MAPS = 4
KEPT_QUESTIONS = 2_000


class ChunkMap:
    """Passages of one generation, at most 2,000 of its `total`, each with its place: float32 (passages, 2), 0 to 1.

    `shown` is the share of their differences that the two directions of the map show, `landmarks` what its regions
    are about.
    """

    def __init__(self, generation: int, sample: shown.Sample) -> None:
        self.generation = generation
        self.total = sample.total
        self.passages = sample.passages
        self.fingerprint = sample.fingerprint
        self.plane = Plane.through(sample.vectors)
        self.places = self.plane.places(sample.vectors)
        self.landmarks = landmarks(self.places, [passage.text for passage in sample.passages])

    @property
    def shown(self) -> float:
        return self.plane.shown


class Inspection:
    """What is read takes a while, so maps are kept by generation and reader, and questions by their text."""

    def __init__(self, store: SqliteStore, embedder: Embedder) -> None:
        self._store = store
        self._embedder = embedder
        self._maps: OrderedDict[tuple[int, tuple[str, ...] | None], ChunkMap] = OrderedDict()
        self._questions: OrderedDict[str, NDArray[np.float32]] = OrderedDict()

    def passages(self, document_id: str, reader: Reader) -> list[DocumentPassage]:
        """How a document was cut, in order; nothing of one that is not for the reader."""
        with self._store.database.read() as connection:
            return shown.passages(connection, self._store.project_id, document_id, reader)

    def sources(self, reader: Reader) -> list[SourceHeld]:
        """What the published generation has of each source."""
        number = self._store.published().number
        with self._store.database.read() as connection:
            return shown.sources(connection, self._store.project_id, number, reader)

    async def map(self, reader: Reader) -> ChunkMap:
        """The published generation's passages that a reader may find."""
        key = (self._store.published().number, reader.tags)
        drawn = self._maps.pop(key, None)
        if drawn is None:
            drawn = await asyncio.to_thread(self._draw, key[0], reader)
        self._maps[key] = drawn
        if len(self._maps) > KEPT_MAPS:
            self._maps.popitem(last=False)
        return drawn

    async def places(self, questions: Sequence[str], drawn: ChunkMap) -> NDArray[np.float32]:
        """Where the first 200 of these questions lie on a map: float32 (questions, 2), 0 to 1; none where another
        embedder made its vectors. Raises what the embedder raises."""
        questions = questions[:MOST_QUESTIONS]
        if not questions or drawn.fingerprint != self._embedder.fingerprint:
            return np.zeros((0, 2), dtype=np.float32)
        new = [text for text in dict.fromkeys(questions) if text not in self._questions]
        if new:
            embedded = await self._embedder.embed(new, urgent=True, kind="query")
            self._questions.update(zip(new, embedded.vectors, strict=True))
        places = drawn.plane.places(np.array([self._questions[text] for text in questions]))
        while len(self._questions) > KEPT_QUESTIONS:
            self._questions.popitem(last=False)
        return places

    def _draw(self, number: int, reader: Reader) -> ChunkMap:
        with self._store.database.read() as connection:
            return ChunkMap(number, shown.sample(connection, self._store.project_id, number, reader, MOST_PASSAGES))
