"""How often the right paragraph comes first: XQuAD, 240 paragraphs as documents, 1,190 questions.

The documents go through the same ingestion and search as everybody's. Beside the mix: its words alone (BM25 as
SQLite has it) and its vectors alone. Nothing of the search was tuned on these questions.

    python benchmarks/retrieval.py
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from penstock.knowledge.base import KnowledgeBase, Sources
from penstock.knowledge.lexical import match_expression, question_terms
from penstock.knowledge.stores.index import VectorIndexes
from penstock.knowledge.stores.reader import SqliteReader
from penstock.knowledge.stores.sqlite import SqliteStore
from penstock.models.encoders.sentence import SentenceEncoder
from penstock.models.pull import pull

DATA = Path(os.environ.get("PENSTOCK_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
LIMIT = 5
GOALS = {"hit@1": 0.945, "hit@5": 0.99}

Rankings = list[list[str]]


async def main() -> None:
    paragraphs, questions = read_xquad()
    encoder = SentenceEncoder(pull("all-minilm-l6-v2"))
    await encoder.start()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for number, paragraph in enumerate(paragraphs):
            path = root / "docs" / f"{number:03}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text(paragraph, encoding="utf-8")
        base = KnowledgeBase.open(root / "knowledge.db", "xquad", encoder)
        summary = await base.ingest(Sources(root / "docs"))
        await base.search("warm up")
        mixed, seconds = await ask(base, [question for question, _ in questions])
        base.close()
        words, vectors = await parts(root / "knowledge.db", encoder, [question for question, _ in questions])
    await encoder.close()
    gold = [f"{number:03}.txt" for _, number in questions]
    figures = {
        **{f"hit@{k}": share(mixed, gold, k) for k in (1, 3, 5)},
        **{f"bm25 hit@{k}": share(words, gold, k) for k in (1, 3, 5)},
        **{f"vectors hit@{k}": share(vectors, gold, k) for k in (1, 3, 5)},
        "search p50 ms": round(statistics.median(seconds) * 1000, 2),
        "search p99 ms": round(statistics.quantiles(seconds, n=100)[98] * 1000, 2),
        "passages": summary.chunks,
        "ingest seconds": round(summary.seconds, 2),
    }
    ratios = {
        "hit@1 over bm25": round(figures["hit@1"] / figures["bm25 hit@1"], 4),
        "hit@1 over vectors": round(figures["hit@1"] / figures["vectors hit@1"], 4),
    }
    goals = [
        {"name": name, "goal": goal, "value": figures[name], "met": figures[name] >= goal}
        for name, goal in GOALS.items()
    ]
    print(json.dumps({"name": "retrieval", "figures": figures, "ratios": ratios, "goals": goals}))


def read_xquad() -> tuple[list[str], list[tuple[str, int]]]:
    """The paragraphs, and each question with the number of its paragraph."""
    data = json.loads((DATA / "qa" / "xquad.en.json").read_text(encoding="utf-8"))
    found = [paragraph for article in data["data"] for paragraph in article["paragraphs"]]
    questions = [(qa["question"], number) for number, paragraph in enumerate(found) for qa in paragraph["qas"]]
    return [paragraph["context"] for paragraph in found], questions


async def ask(base: KnowledgeBase, questions: Sequence[str]) -> tuple[Rankings, list[float]]:
    """The documents of the hits as an app gets them, and how long each search took, its question embedded."""
    found: Rankings = []
    seconds = []
    for question in questions:
        started = time.perf_counter()
        result = await base.search(question, limit=LIMIT)
        seconds.append(time.perf_counter() - started)
        found.append([hit.document for hit in result.hits])
    return found, seconds


async def parts(path: Path, encoder: SentenceEncoder, questions: Sequence[str]) -> tuple[Rankings, Rankings]:
    """The same documents by words alone and by vectors alone."""
    store = SqliteStore(path)
    queries = (await encoder.embed(questions)).vectors
    by_words: Rankings = []
    by_vectors: Rankings = []
    with store.database.read() as connection:
        reader = SqliteReader(connection, store.project_id)
        generation = reader.published()
        index = VectorIndexes(encoder.dimensions).get(reader, generation)
        for question, query in zip(questions, queries, strict=True):
            terms = question_terms(question)
            match = match_expression(terms, reader.term_counts([term.phrase for term in terms]))
            rows = [row for row, _ in reader.text_matches(generation.number, match, LIMIT)]
            by_words.append(list(documents(reader, rows)))
            best = index.scores(query).argsort()[::-1][:LIMIT]
            by_vectors.append(list(documents(reader, [int(index.found.rows[at]) for at in best])))
    store.close()
    return by_words, by_vectors


def documents(reader: SqliteReader, rows: Sequence[int]) -> Iterator[str]:
    chunks = reader.chunks(rows)
    return (chunks[row].document for row in rows)


def share(found: Rankings, gold: Sequence[str], k: int) -> float:
    """How many of the questions have their paragraph among the first `k` passages."""
    return round(sum(right in ranking[:k] for ranking, right in zip(found, gold, strict=True)) / len(gold), 4)


if __name__ == "__main__":
    asyncio.run(main())
