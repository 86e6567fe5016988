"""Small passages that are found, and the larger ones around them that answers are made of."""

from pathlib import Path

from support.grounding import asking, collected
from support.hash_embedder import HashEmbedder

from penstock.knowledge.answer import AnswerSettings, GroundedApp
from penstock.knowledge.base import EVERYTHING, KnowledgeBase, KnowledgeOptions, Query, Sources
from penstock.knowledge.chunking import ChunkOptions

DAM = (
    "The Grand Valley Dam stands in the north of the province. Its wall was raised by two thousand workers. They"
    " came from villages around the lake. Most of them stayed. The Grand Valley wall is 221 metres high."
    " Seventeen turbines turn below it. Each of them is fed by its own penstock. Power goes to the coast."
)
QUESTION = "How many metres high is the Grand Valley wall?"


async def test_answers_read_the_larger_passage_and_cite_the_part_that_the_quote_stands_in(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "dam.txt").write_text(DAM)
    chunking = ChunkOptions(strategy="parents", tokens=16, parent_tokens=200)
    embedder = HashEmbedder()
    base = KnowledgeBase.open(tmp_path / "k.db", "docs", embedder, KnowledgeOptions(chunking=chunking))
    await base.ingest(Sources(docs))
    parts = (await base.search(Query(text=QUESTION, reader=EVERYTHING, limit=50))).hits
    assert len(parts) > 3 and {part.parent for part in parts} == {(0, len(DAM))}
    app = GroundedApp("dam", base, embedder, None, AnswerSettings(threshold=0.0))
    read = (await app.find(asking(QUESTION))).evidence.passages
    assert [(hit.start, hit.end, hit.text) for hit in read] == [(0, len(DAM), DAM)]
    text, grounding, _ = await collected(app, asking(QUESTION))
    assert "221 metres" in text
    by_id = {part.chunk_id: part for part in parts}
    for citation in grounding.citations:
        part = by_id[citation.chunk_id]
        assert DAM[citation.start : citation.end] == citation.quote
        assert part.start <= citation.start < part.end
    base.close()


async def test_passages_without_a_parent_are_read_as_they_were_found(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "dam.txt").write_text(DAM)
    embedder = HashEmbedder()
    base = KnowledgeBase.open(
        tmp_path / "k.db", "docs", embedder, KnowledgeOptions(chunking=ChunkOptions(tokens=32))
    )
    await base.ingest(Sources(docs))
    app = GroundedApp("dam", base, embedder, None, AnswerSettings(threshold=0.0))
    read = (await app.find(asking(QUESTION))).evidence.passages
    assert len(read) > 1 and all(hit.parent is None and len(hit.text) < len(DAM) for hit in read)
    base.close()
