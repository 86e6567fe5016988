"""Vector search at 10,000, 100,000 and 1,000,000 passages of 384 dimensions, beside Chroma and LanceDB.

Each runs in a process of its own, over the same vectors and questions (`support/vector_data.py`), without and
with the text of its passages; they are asked in turn, round by round. A peer gets the least width of search that
reaches the recall wanted. The peers need an environment of their own:

    python -m venv peers && peers/bin/pip install chromadb lancedb
    PENSTOCK_PEERS_PYTHON=peers/bin/python python benchmarks/search.py --sizes 10000,100000 --peers-at 100000
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from support.vector_data import embedded, many, nearest

K = 10
RECALL = 0.98
QUESTIONS = 500
ROUNDS = 3
PASSAGES = 5
WIDTHS = {
    "chroma": (20, 50, 100, 200, 400),
    "lance-hnsw": (20, 50, 100, 200, 400, 800),
    "lance": (10, 20, 50, 100, 200),
}
SELECTIVE = {"50%": 500, "10%": 100, "1%": 10, "0.1%": 1}
WORKER = Path(__file__).parent / "support" / "vector_worker.py"


class Worker:
    """A process that searches."""

    def __init__(self, kind: str, python: str, folder: Path) -> None:
        self.kind = kind
        self._process = subprocess.Popen(
            [python, str(WORKER), kind, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.made = self._read()

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.kind} ended: {self._process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found


def recall(rows: list[list[int]], truth: np.ndarray) -> float:
    found = sum(len(set(own) & set(true.tolist())) for own, true in zip(rows, truth, strict=True))
    return round(found / truth.size, 4) if truth.size else 1.0


def times(rounds: list[dict[str, Any]]) -> dict[str, float]:
    """Of the best round, in ms: other work on the machine only ever adds."""
    p50 = min(float(np.quantile(each["seconds"], 0.5)) for each in rounds)
    p99 = min(float(np.quantile(each["seconds"], 0.99)) for each in rounds)
    return {"p50": round(p50 * 1000, 3), "p99": round(p99 * 1000, 3)}


def width_for(worker: Worker, truth: np.ndarray) -> dict[str, Any]:
    """The least width that finds enough, or the greatest there is."""
    order: dict[str, Any] = {}
    for width in WIDTHS.get(worker.kind, (0,)):
        order = {"expansion": width}
        if recall(worker.ask(order)["rows"], truth) >= RECALL:
            break
    return order


def measure(size: int, peers: str, sentences: np.ndarray, questions: np.ndarray) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        vectors = many(sentences, size)
        np.save(folder / "vectors.npy", vectors)
        np.save(folder / "queries.npy", questions)
        truth = nearest(vectors, questions, K)
        kinds = ["penstock", *(WIDTHS if peers else ())]
        workers = [Worker(kind, peers if kind in WIDTHS else sys.executable, folder) for kind in kinds]
        orders = [width_for(worker, truth) for worker in workers]
        rounds = [[worker.ask(order) for worker, order in zip(workers, orders, strict=True)] for _ in range(ROUNDS)]
        bare = [
            [worker.ask({**order, "text": False}) for worker, order in zip(workers, orders, strict=True)]
            for _ in range(ROUNDS)
        ]
        figures: dict[str, Any] = {}
        for at, worker in enumerate(workers):
            own = [each[at] for each in rounds]
            figures[worker.kind] = {
                "with texts": times(own),
                "index only": times([each[at] for each in bare]),
                "recall": recall(own[0]["rows"], truth),
                **orders[at],
                **worker.made,
            }
        documents = np.arange(size) // PASSAGES % 1000
        for share, below in SELECTIVE.items():
            order = {"filter": {"n": {"lt": below}}}
            allowed = documents < below
            truth = nearest(vectors, questions, K, allowed)
            own = [workers[0].ask(order) for _ in range(ROUNDS)]
            wanted = min(K, int(allowed.sum()))
            short = sum(len(rows) < wanted for rows in own[0]["rows"])
            figures["penstock"][share] = {**times(own), "recall": recall(own[0]["rows"], truth), "too few": short}
        for worker in workers:
            worker.close()
        return figures


def goals_of(size: int, figures: dict[str, Any]) -> list[dict[str, Any]]:
    own = figures["penstock"]
    goals = []

    def at_most(name: str, value: float, goal: float) -> None:
        goals.append({"name": f"{size:,}: {name}", "goal": goal, "value": value, "met": value <= goal})

    if size == 100_000:
        at_most("p50 ms", own["index only"]["p50"], 0.6)
    if size == 1_000_000:
        at_most("p99 ms", own["with texts"]["p99"], 5.0)
        at_most("p99 ms under a 1% filter", own["1%"]["p99"], 20.0)
        at_most("recall missing", round(1 - own["recall"], 4), 0.02)
    at_most("searches that found too few", sum(own[share]["too few"] for share in SELECTIVE), 0)
    for peer in WIDTHS:
        if peer in figures:
            for what in ("index only", "with texts"):
                ratio = round(figures[peer][what]["p50"] / own[what]["p50"], 2)
                name = f"{size:,}: p50 of {peer} to ours, {what}"
                goals.append({"name": name, "goal": 2, "value": ratio, "met": ratio >= 2})
    return goals


async def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--sizes", default="10000,100000,1000000")
    arguments.add_argument("--peers-at", default="100000", help='sizes at which peers run, "" for none')
    chosen = arguments.parse_args()
    sentences, questions = await embedded()
    figures: dict[str, Any] = {}
    goals: list[dict[str, Any]] = []
    for size in chosen.sizes.split(","):
        python = os.environ.get("PENSTOCK_PEERS_PYTHON", "") if size in chosen.peers_at.split(",") else ""
        figures[size] = measure(int(size), python, sentences, questions[:QUESTIONS])
        goals += goals_of(int(size), figures[size])
        print(size, json.dumps(figures[size]), file=sys.stderr, flush=True)
    ratios = {goal["name"]: goal["value"] for goal in goals if " to ours" in goal["name"]}
    print(json.dumps({"name": "search", "figures": figures, "ratios": ratios, "goals": goals}))


if __name__ == "__main__":
    asyncio.run(main())
