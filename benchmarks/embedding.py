"""Penstock's encoder beside sentence-transformers on torch: chunks of 200 tokens per second, and one query.

Both compute the same model on the same texts (the project's own documentation) on all cores, in turn, in one run;
the figures are medians over the rounds. The peer gets the better of two batch sizes. It needs an environment of
its own, for Penstock needs no torch:

    python -m venv peers && peers/bin/pip install torch sentence-transformers
    PENSTOCK_PEERS_PYTHON=peers/bin/python python benchmarks/embedding.py
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from penstock.models.encoders.cores import usable_cores
from penstock.models.encoders.messages import Precision
from penstock.models.encoders.sentence import EncoderOptions, SentenceEncoder
from penstock.models.pull import pull

ROOT = Path(__file__).resolve().parents[1]
PEER = ROOT / "benchmarks" / "support" / "sentence_transformers_peer.py"
CHUNK_TOKENS = 200
PEER_BATCHES = (8, 32)
PRECISIONS: tuple[Precision, ...] = ("int8-bf16", "bf16", "int8", "f32")
GOALS = {"int8-bf16": 5.0, "bf16": 5.0, "int8": 3.0, "f32": 3.0}
QUERY_GOAL_MS = 3.0
COSINE_GOAL = 0.999
QUESTIONS = [
    f"{start} {thing}?"
    for start, thing in itertools.product(
        ("How do I configure", "What happens with", "Where is the setting for", "Who may see", "Can I change"),
        ("the default model", "a document that was deleted", "traces of an answer", "the port", "citations"),
    )
]


def chunks(folder: Path, count: int) -> list[str]:
    """Pieces of the documentation of exactly CHUNK_TOKENS tokens, the two marks among them."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    text = "\n".join(path.read_text("utf-8") for path in sorted([*ROOT.glob("docs/*.md"), *ROOT.glob("*.md")]))
    spans = tokenizer.encode(text, add_special_tokens=False).offsets
    size = CHUNK_TOKENS - 2
    pieces = [text[spans[at][0] : spans[at + size - 1][1]] for at in range(0, len(spans) - size, size)]
    whole = [piece for piece in pieces if len(tokenizer.encode(piece).ids) == CHUNK_TOKENS]
    return list(itertools.islice(itertools.cycle(whole), count))


class Peer:
    """sentence-transformers in a process of its own."""

    def __init__(self, folder: Path, texts: Sequence[str]) -> None:
        python = os.environ.get("PENSTOCK_PEERS_PYTHON", sys.executable)
        check = subprocess.run([python, "-c", "import sentence_transformers"], capture_output=True, check=False)
        if check.returncode:
            sys.exit(f"{python} has no sentence-transformers.\n\n{__doc__}")
        self._process = subprocess.Popen(
            [python, str(PEER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.ask({"folder": str(folder), "dimensions": 384, "texts": texts, "questions": QUESTIONS})

    def ask(self, order: dict[str, Any]) -> Any:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


async def measure(encoder: SentenceEncoder, texts: Sequence[str]) -> tuple[float, float]:
    """Chunks per second in bulk, and the median of one query's seconds."""
    started = time.perf_counter()
    await encoder.embed(texts)
    bulk = len(texts) / (time.perf_counter() - started)
    times = []
    for question in QUESTIONS:
        started = time.perf_counter()
        await encoder.embed([question], urgent=True)
        times.append(time.perf_counter() - started)
    return bulk, statistics.median(times)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--chunks", type=int, default=256, help="texts in each round")
    options = parser.parse_args()
    folder = pull("all-minilm-l6-v2")
    texts = chunks(folder, options.chunks)
    peer = Peer(folder, texts)
    encoders = {name: SentenceEncoder(folder, EncoderOptions(precision=name)) for name in PRECISIONS}
    samples: dict[str, list[float]] = {}
    figures: dict[str, float] = {"cores": usable_cores(), "chunks": len(texts), "rounds": options.rounds}
    expected = np.array(peer.ask({"do": "vectors"}), np.float32)
    for name, encoder in encoders.items():
        await encoder.start()
        found = await encoder.embed(texts)
        figures[f"cosine_{name}"] = round(float((found.vectors * expected).sum(axis=1).min()), 6)
    for _ in range(options.rounds):
        for batch in PEER_BATCHES:
            seconds = peer.ask({"do": "bulk", "batch": batch})
            samples.setdefault(f"peer_batch_{batch}_chunks_per_s", []).append(len(texts) / seconds)
        times = peer.ask({"do": "queries"})
        samples.setdefault("peer_query_ms", []).append(1000 * statistics.median(times))
        for name, encoder in encoders.items():
            bulk, query = await measure(encoder, texts)
            samples.setdefault(f"{name}_chunks_per_s", []).append(bulk)
            samples.setdefault(f"{name}_query_ms", []).append(1000 * query)
    peer.close()
    for name, encoder in encoders.items():
        figures[f"{name}_memory_mb"] = round((encoder.health().memory_bytes or 0) / 1e6)
        await encoder.close()
    figures |= {name: round(statistics.median(values), 2) for name, values in samples.items()}
    report(figures, list(encoders))


def report(figures: dict[str, float], precisions: Sequence[str]) -> None:
    """Prints the one line that the goals are read from."""
    peer = max(figures[f"peer_batch_{batch}_chunks_per_s"] for batch in PEER_BATCHES)
    ratios = {name: round(figures[f"{name}_chunks_per_s"] / peer, 2) for name in precisions}
    query = figures[f"{precisions[0]}_query_ms"]
    cosine = min(figures[f"cosine_{name}"] for name in precisions)
    goals = [
        (f"times sentence-transformers, {name}", GOALS[name], ratio, ratio >= GOALS[name])
        for name, ratio in ratios.items()
    ]
    goals.append(("milliseconds of a query", QUERY_GOAL_MS, query, query <= QUERY_GOAL_MS))
    goals.append(("smallest cosine to sentence-transformers", COSINE_GOAL, cosine, cosine >= COSINE_GOAL))
    names = ("name", "goal", "value", "met")
    line = {
        "name": "embedding",
        "figures": figures,
        "ratios": {**ratios, "query": round(figures["peer_query_ms"] / query, 2)},
        "goals": [dict(zip(names, goal, strict=True)) for goal in goals],
    }
    print(json.dumps(line))


if __name__ == "__main__":
    asyncio.run(main())
