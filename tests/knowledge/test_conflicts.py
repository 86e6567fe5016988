"""Passages that disagree about what is asked: found, cited both, and not imagined."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio
from support.grounding import asking, collected, encoder, hit

from penstock.exchange import Grounding
from penstock.knowledge.abstain import calibration
from penstock.knowledge.answer import AnswerSettings, GroundedApp
from penstock.knowledge.answering.conflicts import disagreement
from penstock.knowledge.base import KnowledgeBase, Sources
from penstock.knowledge.evidence import EvidenceFinder, SentenceVectors
from penstock.knowledge.values import SearchResult
from penstock.models.encoders.sentence import SentenceEncoder

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOW_LONG = "Within how many days can a customer return a product?"
DISAGREE = [
    (HOW_LONG, "A customer can return a product within 30 days.", "A customer can return a product within 14 days.",
     {"30 days", "14 days"}),
    (HOW_LONG, "A customer can return a product within thirty days.",
     "Customers can return products within 14 days.", None),
    ("When was the Grand Valley Dam finished?", "The Grand Valley Dam was finished in 1936.",
     "The Grand Valley Dam was finished in the year 1938.", {"1936", "1938"}),
    ("Who designed the power station?", "The power station was designed by Mara Lindqvist.",
     "The power station of the dam was designed by Peter Holm.", {"Mara Lindqvist", "Peter Holm"}),
    ("What is the fee for a late return?", "The fee for a late return is 20 euros.",
     "The fee for a late return is 35 euros.", {"20 euros", "35 euros"}),
]  # fmt: skip
AGREE = [
    (HOW_LONG, "A customer can return a product within 30 days.", "Returns of a product are taken within 30 days."),
    (HOW_LONG, "A customer can return a product within 12 days.", "Customers return products within twelve days."),
    (HOW_LONG, "A customer can return a product within 30 days.", "The warehouse has 14 days of stock."),
    ("Where is the stadium?", "The stadium is on a 358 acre campus.", "The main campus of 209 acres is in town."),
    ("When was the dam finished?", "The dam was finished in 1936.", "The lake behind the dam was filled in 1940."),
    ("How high is the dam?", "The dam is 221 metres high.", "The dam is 400 metres long."),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def embedder(minilm_folder: Path) -> AsyncIterator[SentenceEncoder]:
    async with encoder(minilm_folder) as it:
        yield it


async def sides(question: str, embedder: SentenceEncoder, *texts: str) -> set[str]:
    vector = (await embedder.embed([question])).vectors[0]
    hits = tuple(hit(f"d{number}", text) for number, text in enumerate(texts))
    evidence = await EvidenceFinder(SentenceVectors(embedder), calibration()).find(
        question, SearchResult(hits=hits, generation=1, vector=vector)
    )
    return {side.value for side in disagreement(evidence)}


@pytest.mark.parametrize(("question", "one", "other", "values"), DISAGREE)
async def test_sentences_that_disagree(
    embedder: SentenceEncoder, question: str, one: str, other: str, values: set[str] | None
) -> None:
    found = await sides(question, embedder, one, other)
    assert len(found) == 2
    assert values is None or found == values
    assert await sides(question, embedder, other, one) == found


@pytest.mark.parametrize(("question", "one", "other"), AGREE)
async def test_sentences_that_do_not(embedder: SentenceEncoder, question: str, one: str, other: str) -> None:
    assert await sides(question, embedder, one, other) == set()


async def answer(folder: Path, embedder: SentenceEncoder, texts: Mapping[str, str]) -> tuple[str, Grounding]:
    docs = folder / "docs"
    docs.mkdir()
    for name, text in texts.items():
        (docs / name).write_text(text, "utf-8")
    base = KnowledgeBase.open(folder / "knowledge.db", "rules", embedder)
    try:
        await base.ingest(Sources(docs))
        text, grounding, _ = await collected(
            GroundedApp("rules", base, embedder, None, AnswerSettings()), asking(HOW_LONG)
        )
        return text, grounding
    finally:
        base.close()


async def test_the_answer_says_so_and_cites_the_newest_first(embedder: SentenceEncoder, tmp_path: Path) -> None:
    old = "---\ndate: 2021-03-01\n---\n\nA customer can return a product within 30 days of delivery.\n"
    new = "---\ndate: 2024-03-01\n---\n\nA customer can return a product within 14 days of delivery.\n"
    text, grounding = await answer(tmp_path, embedder, {"a.md": old, "b.md": new})
    (conflict,) = grounding.conflicts
    assert conflict.values == ("14 days", "30 days")
    assert conflict.citations == (1, 2)
    assert text.startswith("The documents do not agree: 14 days [1], 30 days [2].\n\n")
    assert {citation.document for citation in grounding.citations} == {"a.md", "b.md"}
    for citation in grounding.citations:
        assert text[citation.answer_start : citation.answer_end] == f"{citation.quote} [{citation.number}]"
