"""Real documents and questions through the real parts: quality does not slip unnoticed.

The bounds are well below what `benchmarks/retrieval.py` and `benchmarks/answers.py` measure on all questions.
"""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock.exchange import Exchange, Message
from penstock.ids import new_id, new_trace_id
from penstock.knowledge.answer import AnswerSettings, GroundedApp
from penstock.knowledge.base import EVERYTHING, KnowledgeBase, Query, Sources
from penstock.knowledge.why import explain
from penstock.models.encoders.sentence import SentenceEncoder

EVERY = 12
"""Of XQuAD's 1,190 questions, every twelfth is asked."""

AMONG = 30
"""Of those the first, whose answers are told apart from those of the paragraphs before and between."""


@pytest.fixture
async def encoder(minilm_folder: Path) -> AsyncIterator[SentenceEncoder]:
    encoder = SentenceEncoder(minilm_folder)
    await encoder.start()
    yield encoder
    await encoder.close()


def write_paragraphs(data: Path, folder: Path) -> list[tuple[str, str, list[str]]]:
    """Writes each paragraph as a file; gives question, file and gold answers."""
    folder.mkdir()
    asked = []
    paragraphs = [each for article in json.loads(data.read_text())["data"] for each in article["paragraphs"]]
    for number, paragraph in enumerate(paragraphs):
        (folder / f"{number:03}.txt").write_text(paragraph["context"])
        for question in paragraph["qas"]:
            golds = [answer["text"] for answer in question["answers"]]
            asked.append((question["question"], f"{number:03}.txt", golds))
    return asked[::EVERY]


async def test_questions_on_wikipedia_paragraphs(
    shared_data: Path, tmp_path: Path, encoder: SentenceEncoder
) -> None:
    asked = write_paragraphs(shared_data / "qa" / "xquad.en.json", tmp_path / "paragraphs")
    base = KnowledgeBase.open(tmp_path / "knowledge.db", "docs", encoder)
    summary = await base.ingest(Sources(tmp_path / "paragraphs"))
    assert summary.statuses == {"ok": 240}
    app = GroundedApp("docs", base, encoder, None, AnswerSettings(mode="quote"))
    first = contains = cites = 0
    for question, file, golds in asked:
        hits = (await base.search(Query(text=question, reader=EVERYTHING, limit=5))).hits
        first += hits[0].document == file
        exchange = Exchange(
            id=new_id("req"), trace_id=new_trace_id(), model="docs", messages=(Message("user", question),)
        )
        chunks = [chunk async for chunk in app.answer(exchange)]
        text = "".join(chunk.text for chunk in chunks)
        grounding = chunks[-1].grounding
        assert grounding is not None
        for citation in grounding.citations:
            assert (
                base.document(citation.document_id, EVERYTHING).text[citation.start : citation.end]
                == citation.quote
            )
        contains += any(gold.lower() in text.lower() for gold in golds)
        cites += any(citation.document == file for citation in grounding.citations)
    base.close()
    assert first / len(asked) >= 0.9
    assert contains / len(asked) >= 0.8
    assert cites / len(asked) >= 0.88


async def test_an_answer_hangs_on_the_paragraph_that_has_it(
    shared_data: Path, tmp_path: Path, encoder: SentenceEncoder
) -> None:
    asked = write_paragraphs(shared_data / "qa" / "xquad.en.json", tmp_path / "paragraphs")
    files = {file for _, file, _ in asked[:AMONG]}
    for paragraph in (tmp_path / "paragraphs").iterdir():
        if paragraph.name > max(files):
            paragraph.unlink()
    base = KnowledgeBase.open(tmp_path / "knowledge.db", "docs", encoder)
    await base.ingest(Sources(tmp_path / "paragraphs"))
    app = GroundedApp("docs", base, encoder, None, AnswerSettings(mode="quote"))
    first = 0
    for question, file, _ in asked[:AMONG]:
        exchange = Exchange(
            id=new_id("req"), trace_id=new_trace_id(), model="docs", messages=(Message("user", question),)
        )
        told = await explain(app, exchange, None)
        first += told.passages[0].document == file
    base.close()
    assert first / AMONG >= 0.85


async def test_long_documents_are_cut_into_passages_that_stand_in_them(
    shared_data: Path, tmp_path: Path, encoder: SentenceEncoder
) -> None:
    folder = tmp_path / "corpora"
    folder.mkdir()
    for name in ("state_of_the_union.md", "chatlogs.md"):
        (folder / name).write_bytes((shared_data / "chunking" / "corpora" / name).read_bytes())
    base = KnowledgeBase.open(tmp_path / "knowledge.db", "docs", encoder)
    summary = await base.ingest(Sources(folder))
    assert summary.statuses == {"ok": 2}
    for hit in (
        await base.search(Query(text="What will be done about the cost of insulin?", reader=EVERYTHING, limit=20))
    ).hits:
        assert base.document(hit.document_id, EVERYTHING).text[hit.start : hit.end] == hit.text
    again = await base.ingest(Sources(folder))
    assert (again.unchanged, again.embedded) == (2, 0)
    base.close()
