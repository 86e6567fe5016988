"""The indexes in memory, by generation, and the graph that is made for them in the background.

The first is read from the database, or from the graph's file where that is of a generation that is still kept;
every other one is made from one in memory at the cost of what differs. Passages that came since a graph was made
are looked at one by one, until there are so many that the graph takes them in.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np
from msgspec import Struct, structs
from sqlalchemy import Connection

from penstock.errors import PenstockError
from penstock.exchange import LOCAL_PROJECT
from penstock.knowledge.stores.records import Published
from penstock.knowledge.stores.vectors import building, sidecar
from penstock.knowledge.stores.vectors.graph import TARGET, threads_for_building
from penstock.knowledge.stores.vectors.index import IndexStats, VectorIndex
from penstock.knowledge.stores.vectors.loading import VectorLoader, places_of
from penstock.knowledge.stores.vectors.segment import Part, Segment, joined
from penstock.storage.sqlite import SqliteDatabase

KEPT = 3
MUCH_LARGER = 4


class IndexOptions(Struct, frozen=True):
    """From how many passages on there is a graph, what share of the ten nearest it must find, and how many cores
    making one takes (`None`: all but one)."""

    graph_from: int = 20_000
    target: float = TARGET
    threads: int | None = None


DEFAULT_OPTIONS = IndexOptions()


class VectorIndexes:
    """The indexes of one project of one database. Safe to use from several threads."""

    def __init__(
        self,
        database: SqliteDatabase,
        project_id: str = LOCAL_PROJECT,
        options: IndexOptions = DEFAULT_OPTIONS,
    ) -> None:
        self.path = sidecar.path_of(database.path, project_id)
        self._database = database
        self._project = project_id
        self._options = options
        self._making = threading.Lock()
        self._lock = threading.RLock()
        self._indexes: OrderedDict[Published, VectorIndex] = OrderedDict()
        self._builder: threading.Thread | None = None
        self._closing = threading.Event()
        self._refused = Refused()

    def get(self, connection: Connection, generation: Published) -> VectorIndex:
        """The index of a generation that is kept, by a connection that sees it."""
        index = self._known(generation)
        if index is not None:
            return index
        if not generation.number:
            return VectorIndex(generation, ())
        with self._making:  # those who ask for an index that is there do not wait for this
            index = self._known(generation) or self._keep(self._make(self._loader(connection), generation))
        self._build_if_due()
        return index

    def loaded(self, number: int) -> VectorIndex | None:
        """The index of a generation if it is in memory."""
        with self._lock:
            found = next((known for known in self._indexes if known.number == number), None)
        return None if found is None else self._known(found)

    def stats(self) -> IndexStats | None:
        """How the newest generation in memory is searched; `None` before the first search."""
        index = self._newest()
        if index is None:
            return None
        return structs.replace(index.stats(), building=self._builder is not None, note=self._refused.note)

    def wait(self) -> None:
        """Returns when no graph is being made."""
        builder = self._builder
        if builder is not None:
            builder.join()

    def forget(self) -> None:
        """Drops what is in memory and the file: they are made anew when they are needed. For repairs."""
        with self._making:
            with self._lock:
                self._indexes.clear()
            self._refused = Refused()
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Gives up on a graph that is being made."""
        self._closing.set()
        self.wait()

    def _loader(self, connection: Connection) -> VectorLoader:
        return VectorLoader(connection, self._project)

    def _known(self, generation: Published) -> VectorIndex | None:
        with self._lock:
            index = self._indexes.get(generation)
            if index is not None:
                self._indexes.move_to_end(generation)
            return index

    def _newest(self) -> VectorIndex | None:
        with self._lock:
            return max(self._indexes.values(), key=lambda index: index.generation.number, default=None)

    def _keep(self, index: VectorIndex) -> VectorIndex:
        with self._lock:
            self._indexes[index.generation] = index
            while len(self._indexes) > KEPT:
                self._indexes.popitem(last=False)
            return index

    def _make(self, loader: VectorLoader, generation: Published) -> VectorIndex:
        base = self._nearest(loader, generation) or self._from_file(loader, generation.fingerprint)
        if base is None:
            return VectorIndex(generation, compacted([Part(loader.segment(generation))]))
        return derived(loader, base, generation)

    def _nearest(self, loader: VectorLoader, generation: Published) -> VectorIndex | None:
        """The index in memory whose generation is nearest, if it is still kept."""
        with self._lock:
            alike = [
                index
                for known, index in self._indexes.items()
                if known.fingerprint == generation.fingerprint and loader.published_at(known) is not None
            ]
        return min(alike, key=lambda index: abs(index.generation.number - generation.number), default=None)

    def _from_file(self, loader: VectorLoader, fingerprint: str) -> VectorIndex | None:
        """What the file holds, if it is of this database and of a generation that is still kept."""
        found = sidecar.read(self.path)
        if found is None:
            return None
        header, content = found.header, found.content
        own = (self._project, fingerprint, loader.dimensions(fingerprint))
        if own != (header.project, header.generation.fingerprint, header.shape.dimensions):
            return None
        if header.published_at != loader.published_at(header.generation):
            return None
        wanted = np.unique(content.documents[content.live])
        if header.shape.recall < self._options.target or not len(wanted):
            return None
        segment = Segment(
            rows=content.rows,
            vectors=content.vectors,
            owners=places_of(content.documents, wanted),
            documents=loader.documents(wanted),
            graph=found.graph,
        )
        return VectorIndex(header.generation, (Part(segment, None if content.live.all() else content.live),))

    def _build_if_due(self) -> None:
        with self._lock:
            if self._builder is None and self._due() is not None:
                self._builder = threading.Thread(target=self._build, name=f"graph {self.path.name}", daemon=True)
                self._builder.start()

    def _build(self) -> None:
        while True:
            with self._lock:  # an index that is kept from now on starts the next one
                index = self._due()
                if index is None:
                    self._builder = None
                    return
            self._build_from(index)

    def _due(self) -> VectorIndex | None:
        """The index that lacks a graph."""
        index = self._newest()
        if index is None or self._closing.is_set() or not building.due(index, self._options.graph_from):
            return None
        return None if len(index) < self._refused.below else index

    def _build_from(self, index: VectorIndex) -> None:
        """Makes a graph and puts it under every index in memory."""
        try:
            recall = self._made(index)
            if recall is not None and recall >= self._options.target:
                self._refused = Refused()
                self._switch(index.generation.fingerprint)
            elif recall is not None:
                note = f"A graph found only {recall:.3f} of the ten nearest, so every passage is looked at."
                self._refused = Refused(2 * len(index), note)
        except (OSError, RuntimeError, MemoryError, PenstockError) as error:  # usearch says all with RuntimeError
            why = str(error).rstrip(".") or "there is too little memory"
            self._refused = Refused(2 * len(index), f"{self.path.name} could not be made: {why}.")

    def _made(self, index: VectorIndex) -> float | None:
        """Makes the file, and returns the graph's recall; `None` where there is none to be made."""
        with self._database.read() as connection:
            published_at = self._loader(connection).published_at(index.generation)
        if published_at is None:
            self._refused = Refused(len(index) + 1, "")
            return None
        threads = self._options.threads or threads_for_building()
        order = building.Order(self.path, self._project, published_at, self._options.target, threads)
        return building.build(index, order, lambda: not self._closing.is_set())

    def _switch(self, fingerprint: str) -> None:
        """Makes the indexes in memory anew from what the file holds."""
        with self._making, self._database.read() as connection:
            loader = self._loader(connection)
            base = self._from_file(loader, fingerprint)
            if base is None:
                return
            with self._lock:
                alike = [known for known in self._indexes if known.fingerprint == fingerprint]
            for known in alike:
                if loader.published_at(known) is not None:
                    index = derived(loader, base, known)
                    with self._lock:
                        self._indexes[known] = index


class Refused(Struct, frozen=True):
    """Below how many passages no graph is tried again, and why."""

    below: int = 0
    note: str = ""


def derived(loader: VectorLoader, base: VectorIndex, generation: Published) -> VectorIndex:
    """The index of a generation, from that of another one."""
    if base.generation == generation:
        return base
    gone, new = loader.difference(base.generation, generation)
    return VectorIndex(generation, compacted([*(part.without(gone) for part in base.parts), Part(new)]))


def compacted(parts: list[Part]) -> tuple[Part, ...]:
    """The same with little that is not shown any more, and few parts: one that has no graph is joined with the one
    before it unless that is much larger."""
    parts = [part if part.mostly_live else Part(joined([part])) for part in parts]
    graphs = [part for part in parts if part.segment.graph is not None]
    plain = [part for part in parts if part.segment.graph is None and len(part.segment.rows)]
    while len(plain) > 1 and len(plain[-2].segment.rows) <= MUCH_LARGER * len(plain[-1].segment.rows):
        plain[-2:] = [Part(joined(plain[-2:]))]
    return (*graphs, *plain)
