"""One vector search in a process of its own, for `search.py`: Penstock's, Chroma's or LanceDB's.

    python vector_worker.py KIND FOLDER     # KIND: penstock, chroma, lance-hnsw, lance

Builds from FOLDER/vectors.npy, says how long that took and what memory it holds, then answers each line of orders
(JSON) with the rows found for FOLDER/queries.npy and the seconds that each search took. A search brings the
text of its passages along unless its order says `"text": false`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

K = 10
TEXT = "A passage of about the size that passages have. " * 12
PASSAGES = 5
Search = Callable[[np.ndarray], list[int]]


def memory() -> dict[str, float]:
    """Resident megabytes: of the process's own, and of files that it maps (those the system may drop)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    values = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if line.startswith("Rss")}
    return {"own": values["RssAnon"], "mapped": values["RssFile"]}


class Chroma:
    def __init__(self, vectors: np.ndarray, folder: Path) -> None:
        import chromadb

        client = chromadb.PersistentClient(str(folder / "chroma"))
        self._collection = client.create_collection("passages", configuration={"hnsw": {"space": "cosine"}})
        for start in range(0, len(vectors), 5000):
            piece = vectors[start : start + 5000]
            ids = [str(start + at) for at in range(len(piece))]
            self._collection.add(ids=ids, embeddings=piece, documents=[TEXT] * len(piece))

    def prepared(self, order: dict[str, Any]) -> Search:
        self._collection.modify(configuration={"hnsw": {"ef_search": order["expansion"]}})
        wanted: Any = ["documents", "distances"] if order.get("text", True) else ["distances"]

        def search(query: np.ndarray) -> list[int]:
            found = self._collection.query(query_embeddings=[query], n_results=K, include=wanted)
            return [int(each) for each in found["ids"][0]]

        return search


class Lance:
    def __init__(self, vectors: np.ndarray, folder: Path, kind: str) -> None:
        import lancedb
        import pyarrow as pa

        values = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        rows = pa.table({"id": np.arange(len(vectors)), "vector": values, "text": [TEXT] * len(vectors)})
        self._table = lancedb.connect(str(folder / kind)).create_table("passages", rows)
        if kind == "lance-hnsw":
            self._table.create_index(metric="cosine", vector_column_name="vector", index_type="IVF_HNSW_SQ")
        else:
            self._table.create_index(metric="cosine", vector_column_name="vector")
        self._kind = kind

    def prepared(self, order: dict[str, Any]) -> Search:
        width = order["expansion"]
        wanted = ["id", "text", "_distance"] if order.get("text", True) else ["id", "_distance"]

        def search(query: np.ndarray) -> list[int]:
            asked = self._table.search(query).distance_type("cosine").limit(K).select(wanted)
            asked = asked.ef(width) if self._kind == "lance-hnsw" else asked.nprobes(width).refine_factor(5)
            return [each["id"] for each in asked.to_list()]

        return search


class Penstock:
    def __init__(self, vectors: np.ndarray, folder: Path) -> None:
        from support.vector_store import open_store

        self._store, self._vectors, self.seconds = open_store(vectors, folder, TEXT, PASSAGES)

    def prepared(self, order: dict[str, Any]) -> Search:
        from support.vector_store import searcher

        return searcher(self._store, self._vectors, K, order)

    def close(self) -> None:
        self._vectors.close()


def main() -> None:
    kind, folder = sys.argv[1], Path(sys.argv[2])
    vectors, queries = np.load(folder / "vectors.npy"), np.load(folder / "queries.npy")
    if kind == "penstock":
        sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    before, started = memory(), time.perf_counter()
    made = (
        Penstock(vectors, folder) if kind == "penstock" else Chroma(vectors, folder) if kind == "chroma" else None
    )
    store: Any = made or Lance(vectors, folder, kind)
    seconds = getattr(store, "seconds", None) or {"build": time.perf_counter() - started}
    del vectors
    run(store.prepared({"expansion": 100}), queries[:50])
    answer({"seconds": seconds, "memory": {name: value - before[name] for name, value in memory().items()}})
    for line in sys.stdin:
        answer(run(store.prepared(json.loads(line)), queries))
    if kind == "penstock":
        store.close()


def run(search: Search, queries: np.ndarray) -> dict[str, Any]:
    seconds, rows = [], []
    for query in queries:
        started = time.perf_counter()
        rows.append(search(query))
        seconds.append(time.perf_counter() - started)
    return {"seconds": seconds, "rows": rows}


def answer(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
