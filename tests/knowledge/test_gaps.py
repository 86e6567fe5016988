"""Questions without a good answer: grouped by meaning, named, asked again, and each only once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.hash_embedder import HashEmbedder
from support.tracing import answered_trace, exchange, record

from penstock.errors import NotFound
from penstock.exchange import LOCAL_PROJECT, Chunk, Grounding
from penstock.knowledge.gaps.clusters import Groups, name_of, telling_terms
from penstock.knowledge.gaps.store import GapStore
from penstock.knowledge.gaps.values import Verdict
from penstock.knowledge.values import EVERYTHING, Reader
from penstock.traces.span import Feedback
from penstock.traces.store import TraceStore

DAYS = 30


@pytest.fixture
def traces(tmp_path: Path) -> Iterator[TraceStore]:
    store = TraceStore.open(tmp_path / "traces.db")
    yield store
    store.close()


@pytest.fixture
def gaps(tmp_path: Path, traces: TraceStore) -> Iterator[GapStore]:
    store = GapStore.open(tmp_path, traces)
    yield store
    store.close()


def ask(
    traces: TraceStore,
    question: str,
    *,
    answered: bool = False,
    grounded: float | None = None,
    tags: tuple[str, ...] | None = None,
    project_id: str = LOCAL_PROJECT,
) -> str:
    """A question to the documents, as the recorder keeps it."""
    trace = traces.begin(exchange(question, project_id=project_id))
    with trace.span("search", "retriever", query=question) as span:
        if tags is not None:
            span.set(reader=list(tags))
    grounding = Grounding(
        stage="answer",
        mode="quote",
        knowledge="docs",
        generation=3,
        answered=answered,
        score=0.2,
        grounded=grounded,
    )
    trace.saw_chunk(Chunk(text="…", finish_reason="stop", grounding=grounding))
    trace.finish()
    return trace.id


async def collected(gaps: GapStore, traces: TraceStore, project: str = LOCAL_PROJECT) -> int:
    await traces.flush()
    return (await gaps.collect(project, "docs", HashEmbedder(), days=DAYS)).questions


async def test_questions_that_mean_the_same_are_one_gap(gaps: GapStore, traces: TraceStore) -> None:
    for question in (
        "How many vacation days do I have?",
        "vacation days, how many?",
        "How many days of vacation?",
        "Where is the parking garage?",
    ):
        ask(traces, question)
    ask(traces, "What is answered?", answered=True)
    assert await collected(gaps, traces) == 4
    first, second = await gaps.gaps(LOCAL_PROJECT, "docs")
    assert (first.count, first.open, first.state, first.reasons) == (3, 3, "open", {"unanswered": 3})
    assert "vacation" in first.name.lower()
    assert set(first.terms) == {"vacation", "days"}
    assert (second.name, second.count) == ("Where is the parking garage?", 1)


async def test_a_question_counts_once_however_often_traces_are_looked_through(
    gaps: GapStore, traces: TraceStore
) -> None:
    ask(traces, "Where is the garage?")
    assert await collected(gaps, traces) == 1
    assert await collected(gaps, traces) == 0
    ask(traces, "The garage, where is it?")
    assert await collected(gaps, traces) == 1
    (gap,) = await gaps.gaps(LOCAL_PROJECT, "docs")
    assert gap.count == 2


async def test_what_somebody_disliked_is_a_gap(gaps: GapStore, traces: TraceStore) -> None:
    liked, disliked = (ask(traces, question, answered=True) for question in ("Fine one?", "Bad one?"))
    await traces.flush()
    for trace_id, score in ((liked, 1.0), (disliked, -1.0)):
        await traces.add_feedback(LOCAL_PROJECT, Feedback(trace_id=trace_id, score=score))
    await collected(gaps, traces)
    (gap,) = await gaps.gaps(LOCAL_PROJECT, "docs")
    assert (gap.name, gap.reasons) == ("Bad one?", {"disliked": 1})


async def test_an_answer_of_which_too_little_is_supported_is_a_gap(gaps: GapStore, traces: TraceStore) -> None:
    for question, grounded in (("Whole?", 1.0), ("Half?", 0.5), ("Badly?", 0.4), ("Invented?", 0.0)):
        ask(traces, question, answered=True, grounded=grounded)
    ask(traces, "Claimed nothing?", answered=True)
    await collected(gaps, traces)
    found = await gaps.gaps(LOCAL_PROJECT, "docs")
    assert {gap.name for gap in found} == {"Badly?", "Invented?"}
    assert [gap.reasons for gap in found] == [{"unsupported": 1}] * 2


async def test_a_question_has_the_first_of_its_reasons(gaps: GapStore, traces: TraceStore) -> None:
    trace_id = ask(traces, "Invented and disliked?", answered=True, grounded=0.2)
    await traces.flush()
    await traces.add_feedback(LOCAL_PROJECT, Feedback(trace_id=trace_id, score=-1.0))
    assert await collected(gaps, traces) == 1
    (gap,) = await gaps.gaps(LOCAL_PROJECT, "docs")
    assert gap.reasons == {"unsupported": 1}


async def test_asked_again_after_an_ingestion(gaps: GapStore, traces: TraceStore) -> None:
    ask(traces, "How many vacation days?", tags=("group:hr",))
    ask(traces, "Vacation days, how many?")
    ask(traces, "Where is the garage?")
    await collected(gaps, traces)
    asked: list[tuple[str, Reader]] = []

    async def judge(question: str, reader: Reader) -> Verdict:
        asked.append((question, reader))
        return Verdict("acation" in question, 4)

    result = await gaps.recheck("docs", judge)
    assert (result.asked, result.answered, result.closed) == (3, 2, 1)
    assert ("How many vacation days?", Reader(("group:hr",))) in asked
    assert ("Where is the garage?", EVERYTHING) in asked
    (left,) = await gaps.gaps(LOCAL_PROJECT, "docs")
    assert left.name == "Where is the garage?"
    (closed,) = await gaps.gaps(LOCAL_PROJECT, "docs", "answered")
    assert (closed.count, closed.open, closed.closed_in) == (2, 0, 4)
    assert (await gaps.recheck("docs", judge)).asked == 1


async def test_a_disliked_answer_needs_newer_documents(gaps: GapStore, traces: TraceStore) -> None:
    """It had evidence when it was disliked, so evidence alone closes nothing."""
    trace_id = ask(traces, "Where is the garage?", answered=True)
    await traces.flush()
    await traces.add_feedback(LOCAL_PROJECT, Feedback(trace_id=trace_id, score=-1.0))
    await collected(gaps, traces)
    loaded = 0

    async def judge(question: str, reader: Reader) -> Verdict:
        return Verdict(True, 4, loaded)

    assert (await gaps.recheck("docs", judge)).answered == 0
    loaded = 1 << 60
    assert (await gaps.recheck("docs", judge)).closed == 1


async def test_half_answered_stays_open(gaps: GapStore, traces: TraceStore) -> None:
    ask(traces, "How many vacation days?")
    ask(traces, "Vacation days, how many?")
    await collected(gaps, traces)

    async def judge(question: str, reader: Reader) -> Verdict:
        return Verdict(question.startswith("How"), 2)

    assert (await gaps.recheck("docs", judge)).closed == 0
    (gap,) = await gaps.gaps(LOCAL_PROJECT, "docs")
    assert (gap.count, gap.open) == (2, 1)


async def test_a_gap_opens_again_when_it_is_asked_in_vain_again(gaps: GapStore, traces: TraceStore) -> None:
    ask(traces, "Where is the garage?")
    await collected(gaps, traces)

    async def judge(question: str, reader: Reader) -> Verdict:
        return Verdict(True, 2)

    await gaps.recheck("docs", judge)
    assert not await gaps.gaps(LOCAL_PROJECT, "docs")
    ask(traces, "The garage, where is it?")
    await collected(gaps, traces)
    (gap,) = await gaps.gaps(LOCAL_PROJECT, "docs")
    assert (gap.count, gap.open, gap.closed_in) == (2, 1, None)


async def test_a_dismissed_gap_stays_dismissed(gaps: GapStore, traces: TraceStore) -> None:
    ask(traces, "What is the weather?")
    await collected(gaps, traces)
    (gap,) = await gaps.gaps(LOCAL_PROJECT, "docs")
    await gaps.set_state(gap, "dismissed", "not our business")
    ask(traces, "The weather, what is it?")
    await collected(gaps, traces)
    assert not await gaps.gaps(LOCAL_PROJECT, "docs")
    (kept,) = await gaps.gaps(LOCAL_PROJECT, "docs", "dismissed")
    assert (kept.count, kept.note) == (2, "not our business")
    await gaps.set_state(kept, "open")
    (again,) = await gaps.gaps(LOCAL_PROJECT, "docs")
    assert again.open == 2


async def test_another_project_has_gaps_of_its_own(gaps: GapStore, traces: TraceStore) -> None:
    ask(traces, "Where is the garage?")
    ask(traces, "Where is the garage?", project_id="acme")
    await collected(gaps, traces)
    await collected(gaps, traces, "acme")
    (own,) = await gaps.gaps(LOCAL_PROJECT, "docs")
    (theirs,) = await gaps.gaps("acme", "docs")
    assert own.count == theirs.count == 1
    with pytest.raises(NotFound, match="There is no gap"):
        await gaps.get("acme", "docs", own.id)
    _, questions = await gaps.get(LOCAL_PROJECT, "docs", own.id)
    assert [question.text for question in questions] == ["Where is the garage?"]


async def test_questions_go_with_the_traces_that_are_deleted(tmp_path: Path, traces: TraceStore) -> None:
    ask(traces, "Where is the garage?")
    await traces.flush()
    store = GapStore.open(tmp_path, traces)
    await store.collect(LOCAL_PROJECT, "docs", HashEmbedder(), days=DAYS)
    await store.prune(DAYS)
    assert len(await store.gaps(LOCAL_PROJECT, "docs")) == 1
    await store.prune(-1)
    assert not await store.gaps(LOCAL_PROJECT, "docs", None)
    store.close()


async def test_other_requests_are_no_questions_to_the_documents(gaps: GapStore, traces: TraceStore) -> None:
    record(traces, "a model's own")
    answered_trace(traces).finish()
    assert await collected(gaps, traces) == 0


def test_a_group_is_found_by_its_centre() -> None:
    groups = Groups([], near=0.9)
    east, north = np.eye(2, dtype=np.float32)
    first = groups.begin("gap_1", east)
    assert groups.nearest(north) is None
    first.add(north)
    between = np.array([0.70710678, 0.70710678], dtype=np.float32)
    assert groups.nearest(between) is first


def test_the_question_that_stands_for_all() -> None:
    vectors = np.array([[1, 0], [0.8, 0.6], [0.78, 0.62578], [0.6, 0.8], [0, 1]], dtype=np.float32)
    texts = ["ferry?", "When does the ferry to Aran leave on Sundays?", "When does the ferry leave?", "When?", "x"]
    assert name_of(texts, vectors, ("ferries", "Aran")) == texts[2]
    assert name_of(texts, vectors, ()) == texts[3]


def test_words_that_tell_a_group_from_others() -> None:
    own = ("How do I cancel my order?", "cancel the order", "cancelling orders")
    assert telling_terms(own, ["Where is my order?"]) == ("cancel", "order")
