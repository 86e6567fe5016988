"""The race itself: it says what it tried, leaves the knowledge alone, and the winner must win twice."""

import random
from pathlib import Path

import msgspec
import pytest
from support.hash_embedder import HashEmbedder

from penstock.knowledge.base import KnowledgeBase, KnowledgeOptions, Sources
from penstock.knowledge.chunking import ChunkOptions
from penstock.knowledge.sources.base import Item, Listing
from penstock.knowledge.sources.folder import FolderSource
from penstock.knowledge.tune.kept import KeptSource
from penstock.knowledge.tune.questions import Span, Text, TuneQuestion, made_of
from penstock.knowledge.tune.racing import WEIGHTS, Race, Racers
from penstock.knowledge.tune.report import Candidate, Row, TuneReport
from penstock.knowledge.tune.scoring import BUDGET, Figures, figures, held, judged
from penstock.knowledge.values import Hit

TOPICS = ["ropes", "anchors", "lanterns", "pilots", "cranes", "ferries"]
WORDS = [
    first + second for first in ("har", "lan", "fer", "quay", "tid") for second in ("bour", "tern", "ry", "mole")
]


def hit(start: int, end: int, document: str = "a.md") -> Hit:
    return Hit(
        chunk_id=f"{document}:{start}",
        document_id=document,
        document=document,
        title="",
        heading=(),
        page=None,
        start=start,
        end=end,
        text="x" * (end - start),
        score=0.5,
        vector_score=0.5,
        text_score=0.5,
    )


def test_a_rank_is_of_the_first_passage_that_holds_most_of_the_span() -> None:
    question = TuneQuestion("q", ("a.md",), (Span("a.md", 100, 200),))
    found = judged(question, [hit(100, 200, "b.md"), hit(0, 140), hit(120, 300)], 1.0)
    assert (found.rank, found.recall) == (3, 1.0)
    assert judged(question, [hit(300, 400)], 1.0).rank == 0
    anywhere = TuneQuestion("q", ("a.md",), ())
    assert judged(anywhere, [hit(0, 9, "b.md"), hit(0, 9)], 1.0).rank == 2
    assert judged(anywhere, [hit(0, 9)], 1.0).recall is None


def test_what_two_passages_hold_counts_once_and_what_is_over_the_budget_not_at_all() -> None:
    span = Span("a.md", 100, 200)
    assert held(span, [hit(90, 160), hit(140, 180)]) == 0.8
    late = [hit(1000, 1000 + BUDGET), hit(100, 200)]
    assert judged(TuneQuestion("q", (), (span,)), late, 1.0).rank == 0
    behind = TuneQuestion("q", (), (Span("a.md", BUDGET + 10, BUDGET + 20),))
    assert judged(behind, [hit(0, 2 * BUDGET)], 1.0).rank == 0


def test_figures_are_means_over_questions() -> None:
    question = TuneQuestion("q", ("a.md",), (Span("a.md", 0, 100),))
    found = [judged(question, hits, 2.0) for hits in ([hit(0, 100)], [hit(500, 600), hit(0, 50)], [])]
    made = figures(found)
    assert (made.questions, made.hit1, made.hit5, made.mrr, made.recall) == (3, 0.3333, 0.6667, 0.5, 0.5)
    assert made.worth == 0.5


@pytest.mark.parametrize(("held_out", "switches"), [(0.8, True), (0.5, False), (0.3, False), (0.503, False)])
def test_the_winner_must_win_on_questions_that_did_not_choose_it(held_out: float, switches: bool) -> None:
    now, other = Candidate(ChunkOptions(), 0.5), Candidate(ChunkOptions(tokens=96), 0.5)
    rows = (
        Row(now, 10, of(0.5), of(0.5)),
        Row(other, 20, of(0.9), of(held_out)),
    )
    report = TuneReport(questions=40, origin="app", skipped=0, rows=rows, present=0, best=1)
    assert report.switches is switches
    assert msgspec.json.decode(msgspec.json.encode(report), type=TuneReport) == report


def of(mrr: float) -> Figures:
    return Figures(questions=20, hit1=mrr, hit5=mrr, mrr=mrr, recall=None, ms=1.0)


def test_lines_of_a_candidate_are_those_that_its_strategy_has() -> None:
    assert Candidate(ChunkOptions(), 0.5).lines() == {
        "chunking": "structure",
        "chunk_tokens": 200,
        "vector_weight": 0.5,
    }
    parents = Candidate(ChunkOptions(strategy="parents", tokens=64, parent_tokens=256, overlap=8), 0.2)
    assert parents.lines() == {
        "chunking": "parents",
        "chunk_tokens": 64,
        "chunk_overlap": 8,
        "parent_tokens": 256,
        "vector_weight": 0.2,
    }


async def test_a_race_tries_every_cut_and_changes_nothing(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    chance = random.Random(7)
    for topic in TOPICS:
        lines = [f"The {topic} {' '.join(chance.sample(WORDS, 7))}." for _ in range(9)]
        (docs / f"{topic}.md").write_text(f"# {topic.title()}\n\n" + "\n\n".join(lines))
    base = KnowledgeBase.open(tmp_path / "knowledge.db", "docs", HashEmbedder())
    await base.ingest(Sources(docs))
    before = base.content_hash()
    questions = made_of([Text(path.name, path.read_text()) for path in sorted(docs.iterdir())])
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    embedder = HashEmbedder()
    racers = Racers("docs", (FolderSource(Sources(docs)),), embedder, KnowledgeOptions(), 0.5, 5, (2, 12))
    tried: list[str] = []
    report = await Race(racers, questions, scratch, lambda step: tried.append(step.name)).run(lambda progress: None)
    assert report.origin == "sentences" and report.present == 0
    assert {row.candidate.chunking.strategy for row in report.rows} >= {
        "structure",
        "sentences",
        "semantic",
        "parents",
    }
    assert [each.passages for each in report.depths] == [2, 5, 12]
    assert (report.depth, report.best_depth) == (5, 5), "questions of the documents' own words choose no depth"
    assert {row.candidate.vector_weight for row in report.rows} == {0.5, *WEIGHTS}
    assert report.rows[report.best].candidate.vector_weight == 0.5
    assert all(row.choosing.questions + row.held_out.questions == len(questions.questions) for row in report.rows)
    assert {row.candidate.name for row in report.rows} <= set(tried)
    assert len(embedder.texts) < 1.05 * len(set(embedder.texts))  # only parts of "semantic" may come again
    assert base.content_hash() == before and base.generation() == 1
    base.close()


class Counting:
    """A source elsewhere, which counts how often it is asked."""

    name = "elsewhere"
    max_delete = 0.2

    def __init__(self) -> None:
        self.listed = self.fetched = 0

    async def list(self, cursor: bytes) -> Listing:
        self.listed += 1
        return Listing(items=(Item(key="a.txt", version="1", kind="text", location=b"a"),))

    async def fetch(self, item: Item, folder: Path) -> Path:
        self.fetched += 1
        path = folder / "fetched.txt"
        path.write_text("All ships obey.")
        return path

    async def close(self) -> None:
        return None


async def test_what_is_fetched_from_elsewhere_is_fetched_once(tmp_path: Path) -> None:
    kept_in, scratch = tmp_path / "kept", tmp_path / "scratch"
    kept_in.mkdir()
    scratch.mkdir()
    source = Counting()
    kept = KeptSource(source, kept_in)
    for _ in range(3):
        (item,) = (await kept.list(b"")).items
        path = await kept.fetch(item, scratch)
        assert path.read_text() == "All ships obey." and path.parent == kept_in
    assert (source.listed, source.fetched) == (1, 1)
