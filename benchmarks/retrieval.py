"""How often the right passage is found: XQuAD, SQuAD 2.0 and COVID-QA, ours beside BM25, dense alone and their RRF.

The documents go through the same ingestion and search as everybody's; all methods rank the same passages, with
vectors of the same encoder. BM25 is bm25s with its own English stop words and Snowball's stemmer; RRF adds
1 / (60 + rank) of it and of the dense ranking (Cormack et al. 2009), a hundred deep. Nothing of the search was
tuned on XQuAD or COVID-QA; its weights were chosen on the paragraphs of SQuAD 2.0 that are not in XQuAD.

    python benchmarks/retrieval.py            all three
    python benchmarks/retrieval.py xquad      one of them
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import bm25s
import Stemmer

from penstock.knowledge.base import EVERYTHING, Hit, KnowledgeBase, Query, Sources
from penstock.knowledge.values import Mode
from penstock.models.encoders.sentence import SentenceEncoder
from penstock.models.pull import pull

DATA = Path(os.environ.get("PENSTOCK_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
DEEP = 100
SHOWN = 5
RRF_K = 60
GOALS = {"xquad": ("hit@1", 0.955)}


class Asked(NamedTuple):
    """A question, the document that answers it, and its answers; without them the document alone must be right."""

    text: str
    document: str
    answers: tuple[str, ...] = ()


class DataSet(NamedTuple):
    """Texts by document, and what is asked of them. `figures` are the depths that are reported."""

    name: str
    texts: dict[str, str]
    questions: tuple[Asked, ...]
    figures: tuple[int, ...]


class Passage(NamedTuple):
    document: str
    text: str


Ranking = list[Passage]


async def main(names: Sequence[str]) -> None:
    encoder = SentenceEncoder(pull("all-minilm-l6-v2"))
    await encoder.start()
    figures: dict[str, float] = {}
    ratios: dict[str, float] = {}
    goals = []
    for data in read():
        if names and data.name not in names:
            continue
        measured = await measure(data, encoder)
        figures |= {f"{data.name} {name}": value for name, value in measured.items()}
        first = f"hit@{data.figures[0]}"
        for other in ("bm25", "dense", "rrf"):
            ratios[f"{data.name} {first} over {other}"] = round(measured[first] / measured[f"{other} {first}"], 4)
        if data.name in GOALS:
            name, goal = GOALS[data.name]
            value = measured[name]
            goals.append({"name": f"{data.name} {name}", "goal": goal, "value": value, "met": value >= goal})
    await encoder.close()
    print(json.dumps({"name": "retrieval", "figures": figures, "ratios": ratios, "goals": goals}))


def read() -> Iterator[DataSet]:
    xquad = paragraphs("xquad.en.json")
    yield DataSet("xquad", *by_paragraph(xquad), figures=(1, 3, 5))
    known = {each["context"] for each in xquad}
    squad = [each for each in paragraphs("squad2-dev.json") if each["context"] not in known]
    yield DataSet("squad2", *by_paragraph(squad), figures=(1, 3, 5))
    articles = paragraphs("covid-qa.json")
    names = [f"{number:03}.txt" for number in range(len(articles))]
    questions = tuple(
        Asked(qa["question"], name, tuple(answer["text"] for answer in qa["answers"]))
        for name, article in zip(names, articles, strict=True)
        for qa in article["qas"]
    )
    texts = {name: article["context"] for name, article in zip(names, articles, strict=True)}
    yield DataSet("covidqa", texts, questions, figures=(5, 1))


def paragraphs(file: str) -> list[dict[str, Any]]:
    data = json.loads((DATA / "qa" / file).read_text(encoding="utf-8"))
    return [paragraph for article in data["data"] for paragraph in article["paragraphs"]]


def by_paragraph(found: Sequence[dict[str, Any]]) -> tuple[dict[str, str], tuple[Asked, ...]]:
    """Each paragraph as a document, and the questions that it answers."""
    texts = {f"{number:04}.txt": each["context"] for number, each in enumerate(found)}
    questions = tuple(
        Asked(qa["question"], name)
        for name, each in zip(texts, found, strict=True)
        for qa in each["qas"]
        if not qa.get("is_impossible")
    )
    return texts, questions


async def measure(data: DataSet, encoder: SentenceEncoder) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "docs").mkdir()
        for name, text in data.texts.items():
            (root / "docs" / name).write_text(text, encoding="utf-8")
        base = KnowledgeBase.open(root / "knowledge.db", data.name, encoder)
        summary = await base.ingest(Sources(root / "docs"))
        await base.search(Query(text="warm up", reader=EVERYTHING))
        ours, seconds = await ask(base, data.questions, "hybrid", SHOWN)
        dense, _ = await ask(base, data.questions, "dense", DEEP)
        words = by_bm25(await passages(base), data.questions)
        base.close()
    rankings = {"": ours, "bm25 ": words, "dense ": dense, "rrf ": list(map(fused, dense, words))}
    return {
        **{
            f"{method}hit@{k}": share(data.questions, ranking, k)
            for method, ranking in rankings.items()
            for k in data.figures
        },
        "search p50 ms": round(statistics.median(seconds) * 1000, 2),
        "search p99 ms": round(statistics.quantiles(seconds, n=100)[98] * 1000, 2),
        "questions": len(data.questions),
        "passages": summary.chunks,
    }


async def ask(
    base: KnowledgeBase, questions: Sequence[Asked], mode: Mode, limit: int
) -> tuple[list[Ranking], list[float]]:
    """The passages as an app gets them, and how long each search took, its question embedded."""
    found: list[Ranking] = []
    seconds = []
    for question in questions:
        started = time.perf_counter()
        result = await base.search(Query(text=question.text, reader=EVERYTHING, mode=mode, limit=limit))
        seconds.append(time.perf_counter() - started)
        found.append([passage_of(hit) for hit in result.hits])
    return found, seconds


async def passages(base: KnowledgeBase) -> list[Passage]:
    """All passages, in the order of their documents."""
    everything = await base.search(Query(text="?", reader=EVERYTHING, mode="dense", limit=1_000_000))
    return sorted(map(passage_of, everything.hits))


def passage_of(hit: Hit) -> Passage:
    return Passage(hit.document, hit.text)


def by_bm25(known: Sequence[Passage], questions: Sequence[Asked]) -> list[Ranking]:
    stemmer = Stemmer.Stemmer("english")

    def tokens(texts: Sequence[str]) -> list[list[str]]:
        return bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False)

    index = bm25s.BM25()
    index.index(tokens([each.text for each in known]), show_progress=False)
    depth = min(DEEP, len(known))
    found: list[Ranking] = []
    for asked in tokens([each.text for each in questions]):
        places, _ = index.retrieve([asked], k=depth, show_progress=False)
        found.append([known[at] for at in places[0].tolist()])
    return found


def fused(one: Ranking, other: Ranking) -> Ranking:
    """Reciprocal rank fusion."""
    scores: dict[Passage, float] = {}
    for ranking in (one, other):
        for rank, passage in enumerate(ranking, start=1):
            scores[passage] = scores.get(passage, 0.0) + 1 / (RRF_K + rank)
    return sorted(scores, key=lambda passage: -scores[passage])


def share(questions: Sequence[Asked], rankings: Sequence[Ranking], k: int) -> float:
    """How many of the questions have the right passage among the first `k`."""
    right = [
        any(answers(passage, question) for passage in ranking[:k])
        for question, ranking in zip(questions, rankings, strict=True)
    ]
    return round(sum(right) / len(right), 4)


def answers(passage: Passage, question: Asked) -> bool:
    if passage.document != question.document:
        return False
    return not question.answers or any(answer in passage.text for answer in question.answers)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
