"""How much of what answers a question the first five passages hold, and how little else.

472 questions with the exact spans that answer them, over five corpora in one index, from the evaluation of Smith
and Troynikov, "Evaluating Chunking Strategies for Retrieval" (Chroma, 2024; github.com/brandonstarxel/
chunking_evaluation, MIT). Token recall, precision and intersection over union are theirs: ranges of characters
weighted by nothing, the mean over questions, an overlap of two retrieved passages counted twice as retrieved and
once as found. Everything is cut from the same text, embedded by the same encoder and found by its vectors alone;
LangChain's splitter counts in the encoder's own tokens, as ours does.

The prices in `knowledge/chunking/cohesion.py` and the default size were chosen on the corpora `CHOSEN_ON`, so the
figures of the other two stand apart. Those are not unseen either: three candidates were compared on all five
corpora before one was taken.

    python benchmarks/chunking.py [--all]

`--all` also races the other strategies.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from langchain_text_splitters import RecursiveCharacterTextSplitter
from numpy.typing import NDArray

from penstock.knowledge.chunking import ChunkOptions, chunk, embedding_text
from penstock.knowledge.chunking.semantic import join_by_meaning, semantic_grains
from penstock.knowledge.chunking.units import merged
from penstock.knowledge.chunking.vocabulary import Vocabulary
from penstock.knowledge.loaders.text import load_text
from penstock.models.encoders.sentence import SentenceEncoder
from penstock.models.pull import pull

DATA = Path(os.environ.get("PENSTOCK_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
RETRIEVED = 5
LANGCHAIN = (200, 400)
CHOSEN_ON = ("state_of_the_union", "wikitexts", "chatlogs")
AT_ONCE = 512
OTHERS = (
    ChunkOptions(tokens=128),
    ChunkOptions(tokens=256),
    ChunkOptions(strategy="sentences"),
    ChunkOptions(strategy="semantic"),
    ChunkOptions(strategy="parents", tokens=64, parent_tokens=200),
)

Range = tuple[int, int]


@dataclass(frozen=True)
class Question:
    text: str
    corpus: str
    references: list[Range]


@dataclass(frozen=True)
class Cut:
    """A passage of a corpus, what is embedded for it, and what is delivered where it is found."""

    corpus: str
    delivered: Range
    embedded: str


@dataclass(frozen=True)
class Score:
    recall: float
    precision: float
    iou: float


class Bench:
    """One encoder and one set of questions, asked of every way to cut."""

    def __init__(self, encoder: SentenceEncoder) -> None:
        self.corpora = {
            path.stem: path.read_text(encoding="utf-8") for path in sorted((DATA / "chunking/corpora").glob("*.md"))
        }
        self.questions = list(read_questions())
        self.vocabulary = Vocabulary(encoder.tokenizer)
        self._encoder = encoder
        self._asked: NDArray[np.float32] | None = None

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        parts = [await self._encoder.embed(texts[at : at + AT_ONCE]) for at in range(0, len(texts), AT_ONCE)]
        return np.vstack([part.vectors for part in parts])

    async def ask(self, cuts: Sequence[Cut]) -> list[Score]:
        """A score for each question."""
        if self._asked is None:
            self._asked = await self.embed([question.text for question in self.questions])
        cosines = self._asked @ (await self.embed([cut.embedded for cut in cuts])).T
        return [scored(question, first(cuts, row)) for question, row in zip(self.questions, cosines, strict=True)]

    def langchain(self, size: int) -> list[Cut]:
        splitter = RecursiveCharacterTextSplitter(
            chunk_size=size, chunk_overlap=0, length_function=self._length, add_start_index=True
        )
        found = []
        for name, text in self.corpora.items():
            for document in splitter.create_documents([text]):
                start, body = document.metadata["start_index"], document.page_content
                assert text[start : start + len(body)] == body
                found.append(Cut(name, (start, start + len(body)), body))
        return found

    async def ours(self, options: ChunkOptions) -> list[Cut]:
        found = []
        for name, text in self.corpora.items():
            blocks = load_text(text.encode()).blocks
            if options.strategy == "semantic":
                grains = semantic_grains(text, blocks, options, self.vocabulary)
                vectors = await self.embed([text[grain.start : grain.end] for grain in grains])
                joined = join_by_meaning(grains, list(vectors), options)
                cuts = [merged(grains[low:high]) for low, high in joined]
                found += [Cut(name, (cut.start, cut.end), text[cut.start : cut.end]) for cut in cuts]
                continue
            for each in chunk(text, blocks, options, self.vocabulary):
                body = text[each.start : each.end]
                found.append(Cut(name, each.parent or (each.start, each.end), embedding_text(each.heading, body)))
        return found

    def _length(self, text: str) -> int:
        return sum(1 for _ in self.vocabulary.lasts(text))


def read_questions() -> Iterable[Question]:
    with (DATA / "chunking" / "questions_df.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            references = [(each["start_index"], each["end_index"]) for each in json.loads(row["references"])]
            yield Question(row["question"], row["corpus_id"], references)


def first(cuts: Sequence[Cut], cosines: NDArray[np.float32]) -> list[Cut]:
    """What the best passages deliver; several of one parent count once."""
    found: dict[tuple[str, Range], Cut] = {}
    for at in np.argsort(-cosines, kind="stable"):
        cut = cuts[int(at)]
        found.setdefault((cut.corpus, cut.delivered), cut)
        if len(found) == RETRIEVED:
            break
    return list(found.values())


def scored(question: Question, retrieved: Sequence[Cut]) -> Score:
    """As `_scores_from_dataset_and_retrievals` of the evaluation that is cited above."""
    own = [cut.delivered for cut in retrieved if cut.corpus == question.corpus]
    shared = [(max(low, start), min(high, end)) for low, high in own for start, end in question.references]
    found = length(union(each for each in shared if each[0] < each[1]))
    missed = length(union(question.references)) - found
    delivered = length(cut.delivered for cut in retrieved)
    return Score(found / length(question.references), found / delivered, found / (delivered + missed))


def union(ranges: Iterable[Range]) -> list[Range]:
    merged: list[Range] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def length(ranges: Iterable[Range]) -> int:
    return sum(end - start for start, end in ranges)


async def main(everything: bool) -> None:
    encoder = SentenceEncoder(pull("all-minilm-l6-v2"))
    await encoder.start()
    bench = Bench(encoder)
    ways = {"penstock": await bench.ours(ChunkOptions())}
    ways |= {f"langchain {size}": bench.langchain(size) for size in LANGCHAIN}
    if everything:
        ways |= {f"penstock {options.recipe}": await bench.ours(options) for options in OTHERS}
    figures = {name: figures_of(bench, cuts, await bench.ask(cuts)) for name, cuts in ways.items()}
    await encoder.close()
    ratios, goals = {}, []
    for size in LANGCHAIN:
        for measure in ("recall", "iou"):
            own, other = figures["penstock"][measure], figures[f"langchain {size}"][measure]
            name = f"token {measure} over langchain {size}"
            ratios[name] = round(own / other, 4)
            goals.append({"name": name, "goal": 1, "value": ratios[name], "met": own > other})
    print(json.dumps({"name": "chunking", "figures": figures, "ratios": ratios, "goals": goals}))


def figures_of(bench: Bench, cuts: Sequence[Cut], scores: Sequence[Score]) -> dict[str, float]:
    pairs = list(zip(bench.questions, scores, strict=True))
    other = [score for question, score in pairs if question.corpus not in CHOSEN_ON]
    return {
        "recall": mean(score.recall for score in scores),
        "precision": mean(score.precision for score in scores),
        "iou": mean(score.iou for score in scores),
        "recall, the other two": mean(score.recall for score in other),
        "iou, the other two": mean(score.iou for score in other),
        "passages": len(cuts),
        "characters": round(mean(length([cut.delivered]) for cut in cuts)),
    }


def mean(values: Iterable[float]) -> float:
    found = list(values)
    return round(sum(found) / len(found), 4)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--all", action="store_true", help="race the other strategies, too")
    asyncio.run(main(parser.parse_args().all))
