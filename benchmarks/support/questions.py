"""Question sets over paragraphs, and a real knowledge base that holds the paragraphs as documents."""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from penstock.knowledge.base import KnowledgeBase, Sources
from penstock.models.encoders.sentence import SentenceEncoder
from penstock.models.pull import pull

DATA = Path(os.environ.get("PENSTOCK_TEST_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data"))


@dataclass(frozen=True)
class Paragraph:
    """A document of its own: the file is named after its article."""

    article: str
    file: str
    text: str


@dataclass(frozen=True)
class Asked:
    """A question, the file of its paragraph, and the gold answers: none where the paragraph has none."""

    text: str
    article: str
    file: str
    answers: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class QuestionSet:
    paragraphs: tuple[Paragraph, ...]
    questions: tuple[Asked, ...]


def load(name: str) -> QuestionSet:
    """A file in SQuAD's format from `qa/`."""
    paragraphs: list[Paragraph] = []
    questions: list[Asked] = []
    for article in json.loads((DATA / "qa" / name).read_text("utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            title = article["title"]
            file = f"{title}-{len(paragraphs):04}.txt".replace("/", "_")
            paragraphs.append(Paragraph(title, file, paragraph["context"]))
            for entry in paragraph["qas"]:
                answers = tuple((answer["text"], answer["answer_start"]) for answer in entry["answers"])
                questions.append(Asked(entry["question"], title, file, answers))
    return QuestionSet(tuple(paragraphs), tuple(questions))


def halves(data: QuestionSet) -> tuple[frozenset[str], frozenset[str]]:
    """The articles of the calibration half and of the test half."""
    articles = sorted({paragraph.article for paragraph in data.paragraphs})
    random.Random(1).shuffle(articles)
    middle = len(articles) // 2
    return frozenset(articles[:middle]), frozenset(articles[middle:])


@asynccontextmanager
async def encoder() -> AsyncIterator[SentenceEncoder]:
    """The default encoder, pulled if it is not here yet."""
    embedder = SentenceEncoder(pull("all-minilm-l6-v2"))
    await embedder.start()
    try:
        yield embedder
    finally:
        await embedder.close()


@asynccontextmanager
async def knowledge(paragraphs: Iterable[Paragraph], embedder: SentenceEncoder) -> AsyncIterator[KnowledgeBase]:
    """A knowledge base of these paragraphs, each a text file."""
    with tempfile.TemporaryDirectory() as folder:
        docs = written(Path(folder, "docs"), paragraphs)
        base = KnowledgeBase.open(Path(folder, "knowledge.db"), "docs", embedder)
        try:
            await base.ingest(Sources(docs))
            yield base
        finally:
            base.close()


def written(folder: Path, paragraphs: Iterable[Paragraph]) -> Path:
    folder.mkdir()
    for paragraph in paragraphs:
        (folder / paragraph.file).write_text(paragraph.text, "utf-8")
    return folder


def contains_answer(text: str, answers: Iterable[tuple[str, int]]) -> bool:
    """Whether a text has one of the gold answers, word for word, whatever the case and the marks."""
    plain = f" {words_of(text)} "
    return any(f" {words_of(answer)} " in plain for answer, _ in answers)


def words_of(text: str) -> str:

    return " ".join("".join(char if char.isalnum() else " " for char in text.casefold()).split())
