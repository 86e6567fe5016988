"""Traces are found again: by time, by filter, by page, by id, and only in their own project."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from support.tracing import EVERYTHING, answered_trace, exchange, record

from penstock.clock import ManualClock
from penstock.errors import InvalidRequest, NotFound, StorageError, Unavailable
from penstock.exchange import Chunk, Grounding
from penstock.ids import new_id
from penstock.storage.sqlite import SqliteDatabase
from penstock.traces import repository
from penstock.traces.span import Feedback, TraceFilter
from penstock.traces.store import TraceStore


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def store(tmp_path: Path, clock: ManualClock) -> AsyncIterator[TraceStore]:
    store = TraceStore.open(tmp_path / "traces.db", clock)
    yield store
    await asyncio.to_thread(store.close)


async def ids(store: TraceStore, **wanted: Any) -> list[str]:
    assert await store.flush(30)
    return [trace.id for trace in (await store.list(TraceFilter(project_id="local", **wanted))).traces]


async def test_a_trace_comes_back_whole(store: TraceStore, clock: ManualClock) -> None:
    trace = store.begin(exchange("Where is the gate?"))
    clock.advance(1)
    with trace.span("search", "retriever", query="gate") as search, search.tracer.span("rank", "reranker"):
        clock.advance(0.5)
    trace.saw_chunk(Chunk(text="Above.", finish_reason="stop"))
    trace.finish()
    assert await store.flush(30)
    detail = await store.get(trace.id, "local")
    assert detail is not None
    assert (detail.trace.question, detail.trace.answer, detail.trace.duration_us) == (
        "Where is the gate?",
        "Above.",
        1_500_000,
    )
    assert [(span.name, span.kind, span.duration_us) for span in detail.spans] == [
        ("chat docs", "chain", 1_500_000),
        ("search", "retriever", 500_000),
        ("rank", "reranker", 500_000),
    ]
    assert detail.spans[2].parent_id == detail.spans[1].id
    assert detail.spans[1].values() == {"input.value": "gate"}
    assert (await store.list(EVERYTHING)).traces == (detail.trace,)


async def test_the_newest_start_comes_first_whatever_ends_first(store: TraceStore, clock: ManualClock) -> None:
    slow = store.begin(exchange("slow"))
    clock.advance(1)
    quick = record(store, "quick")
    clock.advance(60)
    slow.finish()
    assert await ids(store) == [quick, slow.id]


async def test_filters_find_what_they_say(store: TraceStore, clock: ManualClock) -> None:
    plain = record(store, "Where is the gate?")
    clock.advance(1)
    failed = answered_trace(store, "Why did it fail?", model="broken")
    failed.finish(Unavailable("The engine stopped."))
    clock.advance(1)
    left = answered_trace(store, "Who has left?")
    left.finish(asyncio.CancelledError())
    clock.advance(1)
    unanswered = answered_trace(store, "Was ist über den Müller bekannt?", user="ada")
    unanswered.saw_chunk(
        Chunk(
            grounding=Grounding(
                stage="answer", mode="quote", knowledge="docs", generation=1, answered=False, score=0
            )
        )
    )
    unanswered.finish()
    clock.advance(1)
    slow = answered_trace(store, '100%_sure, "quoted" AND 東京タワー?')
    slow.set(session="s1")
    slow.set_release("rel_2")
    clock.advance(30)
    slow.finish()
    start = ManualClock().now_us()
    assert await store.flush(30)
    await store.add_feedback("local", Feedback(trace_id=plain, score=1))
    await store.add_feedback("local", Feedback(trace_id=slow.id, score=-0.5))
    every = [slow.id, unanswered.id, left.id, failed.id, plain]

    async def finds(expected: list[str], **wanted: Any) -> None:
        assert await ids(store, **wanted) == expected, wanted
        assert await store.count(TraceFilter(project_id="local", **wanted)) == len(expected), wanted

    await finds(every)
    await finds([failed.id], status="error")
    await finds([left.id], status="cancelled")
    await finds([slow.id, unanswered.id, plain], status="ok")
    await finds([failed.id], model="broken")
    await finds([slow.id], release_id="rel_2")
    await finds([slow.id], session="s1")
    await finds([unanswered.id], user="ada")
    await finds([unanswered.id], answered=False)
    await finds([], answered=True)
    await finds([plain], feedback="positive")
    await finds([slow.id], feedback="negative")
    await finds([slow.id, plain], feedback="any")
    await finds([unanswered.id, left.id, failed.id], feedback="none")
    await finds([slow.id], min_duration_us=30_000_000)
    await finds([], min_duration_us=30_000_001)
    await finds([slow.id, unanswered.id], since_us=start + 3_000_000)
    await finds([failed.id, plain], until_us=start + 2_000_000)
    await finds([left.id], since_us=start + 2_000_000, until_us=start + 3_000_000)
    await finds([plain], text="THE GATE")
    await finds([unanswered.id], text="MÜLLER")
    await finds([slow.id], text="東京")
    await finds([slow.id], text="東京タワー")
    await finds([slow.id], text="%_")
    await finds([slow.id], text='"quoted" AND')
    await finds([], text="gate OR fail")
    await finds([slow.id], text="sure", session="s1", since_us=start)


async def test_a_project_sees_and_judges_only_its_own(store: TraceStore) -> None:
    mine, theirs = record(store, "my gate"), record(store, "their gate", project_id="other")
    assert await store.flush(30)
    assert await ids(store) == [mine]
    assert await ids(store, text="gate") == [mine]
    assert await store.count(EVERYTHING) == 1
    assert await store.get(theirs, "local") is None
    assert await store.get(theirs, "other") is not None
    with pytest.raises(NotFound, match=theirs):
        await store.add_feedback("local", Feedback(trace_id=theirs, score=1))
    detail = await store.get(theirs, "other")
    assert detail is not None
    assert detail.feedback == ()


async def test_two_projects_may_use_one_trace_id(store: TraceStore) -> None:
    first = exchange("first")
    store.begin(first).finish()
    store.begin(first.replace(project_id="other", model="theirs")).finish()
    assert await store.flush(30)
    for project, model in (("local", "docs"), ("other", "theirs")):
        detail = await store.get(first.trace_id, project)
        assert detail is not None
        assert (detail.trace.model, len(detail.spans)) == (model, 1)


async def test_requests_of_one_trace_id_share_its_trace(store: TraceStore) -> None:
    first = exchange("first")
    for request in (first, first.replace(model="again")):
        store.begin(request).finish()
    assert await store.flush(30)
    store.begin(first.replace(model="later")).finish()
    assert await store.flush(30)
    detail = await store.get(first.trace_id, "local")
    assert detail is not None
    assert detail.trace.model == "docs"
    assert sorted(span.name for span in detail.spans) == ["chat again", "chat docs", "chat later"]
    assert await store.count(EVERYTHING) == 1


async def test_many_traces_of_one_microsecond_are_all_kept(store: TraceStore) -> None:
    recorded = {record(store) for _ in range(2100)}  # more than a key has room for ties
    listed: list[str] = []
    assert await store.flush(30)
    cursor = None
    while True:
        page = await store.list(EVERYTHING, 500, cursor)
        listed += [trace.id for trace in page.traces]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert len(listed) == 2100
    assert set(listed) == recorded


class OffsetClock(ManualClock):
    """A clock that is put wherever the next trace shall start."""

    def put(self, offset_us: int) -> None:
        self._now_us = 1_700_000_000_000_000 + offset_us


class Pager:
    """A project of a shared store, what was recorded in it, and what paging has shown so far."""

    def __init__(self, store: TraceStore, clock: OffsetClock, text: str | None) -> None:
        self.store = store
        self.clock = clock
        self.wanted = TraceFilter(project_id=new_id("prj"), text=text)
        self.starts: dict[str, int] = {}
        self.seen: list[str] = []

    async def insert(self, offsets: list[int]) -> None:
        for offset in offsets:
            self.clock.put(offset)
            question = "even so" if offset % 2 == 0 else "odd"
            trace_id = record(self.store, question, project_id=self.wanted.project_id)
            if self.wanted.text is None or self.wanted.text in question:
                self.starts[trace_id] = offset
        assert await self.store.flush()

    async def read(self, limit: int, arrivals: list[list[int]]) -> None:
        cursor: str | None = None
        while True:
            page = await self.store.list(self.wanted, limit, cursor)
            assert len(page.traces) == limit or page.next_cursor is None
            self.seen += [trace.id for trace in page.traces]
            cursor = page.next_cursor
            if cursor is None:
                return
            if arrivals:
                await self.insert(arrivals.pop())


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TraceStore, OffsetClock]]:
    clock = OffsetClock()
    store = TraceStore.open(tmp_path_factory.mktemp("paging") / "traces.db", clock)
    yield store, clock
    store.close()


@settings(max_examples=40, deadline=None)
@given(
    starts=st.lists(st.integers(0, 30), max_size=25),
    arrivals=st.lists(st.lists(st.integers(-5, 40), max_size=4), max_size=6),
    limit=st.integers(1, 7),
    text=st.sampled_from([None, "even", "od"]),
)
def test_paging_neither_repeats_nor_misses(
    shared: tuple[TraceStore, OffsetClock],
    starts: list[int],
    arrivals: list[list[int]],
    limit: int,
    text: str | None,
) -> None:
    """While one pages, others record: some newer than all, some that started long ago."""
    pager = Pager(*shared, text)

    async def run() -> set[str]:
        await pager.insert(starts)
        before = set(pager.starts)
        await pager.read(limit, arrivals)
        return before

    before = asyncio.run(run())
    assert len(pager.seen) == len(set(pager.seen))
    assert before <= set(pager.seen) <= pager.starts.keys()
    shown = [pager.starts[trace_id] for trace_id in pager.seen]
    assert shown == sorted(shown, reverse=True)


@pytest.mark.parametrize("cursor", ["", "x", "-1", "0", "f" * 17])
async def test_a_cursor_that_no_page_gave(store: TraceStore, cursor: str) -> None:
    with pytest.raises(InvalidRequest, match="is not one") as caught:
        await store.list(EVERYTHING, cursor=cursor)
    assert caught.value.param == "cursor"


@pytest.mark.parametrize("limit", [0, -1, 501])
async def test_a_limit_out_of_range(store: TraceStore, limit: int) -> None:
    with pytest.raises(InvalidRequest, match=f"limit {limit} is out of range"):
        await store.list(EVERYTHING, limit)


async def test_feedback_of_a_user_replaces_what_the_user_said_before(store: TraceStore, clock: ManualClock) -> None:
    trace_id = record(store)
    for opinion in (
        Feedback(trace_id=trace_id, score=1, user="ada"),
        Feedback(trace_id=trace_id, score=-1, user="bob", comment="wrong gate"),
        Feedback(trace_id=trace_id, score=0.5, user="bob", name="tone"),
        Feedback(trace_id=trace_id, score=-0.5, user="ada", comment="on second thought"),
    ):
        clock.advance(1)
        await store.add_feedback("local", opinion)
    detail = await store.get(trace_id, "local")
    assert detail is not None
    assert [(each.user, each.name, each.score, each.comment) for each in detail.feedback] == [
        ("bob", "thumbs", -1, "wrong gate"),
        ("bob", "tone", 0.5, None),
        ("ada", "thumbs", -0.5, "on second thought"),
    ]
    assert detail.trace.score == pytest.approx(-1 / 3)
    assert detail.feedback[-1].created_us == clock.now_us()


async def test_feedback_may_come_before_its_trace_is_written(store: TraceStore) -> None:
    for _ in range(20):
        trace_id = record(store)
        await store.add_feedback("local", Feedback(trace_id=trace_id, score=1))
    assert len(await ids(store, feedback="positive")) == 20


async def test_a_trace_can_be_read_at_once(store: TraceStore) -> None:
    for _ in range(20):
        detail = await store.get(record(store), "local")
        assert detail is not None
        assert len(detail.spans) == 2


async def test_pruning_takes_all_of_a_trace_and_only_old_ones(store: TraceStore, clock: ManualClock) -> None:
    old = [record(store, f"old gate {number}") for number in range(1200)]
    await store.add_feedback("local", Feedback(trace_id=old[0], score=1))
    clock.advance(10)
    kept = record(store, "kept gate")
    assert await store.flush(30)
    assert await store.prune(clock.now_us()) == 1200
    assert await store.prune(clock.now_us()) == 0
    assert await ids(store) == [kept]
    assert await ids(store, text="gate") == [kept]
    assert await ids(store, text="old gate") == []
    assert await store.get(old[0], "local") is None
    detail = await store.get(kept, "local")
    assert detail is not None
    assert len(detail.spans) == 2


async def test_nothing_is_left_behind_by_pruning(tmp_path: Path, clock: ManualClock) -> None:
    store = TraceStore.open(tmp_path / "traces.db", clock)
    trace_id = record(store)
    await store.add_feedback("local", Feedback(trace_id=trace_id, score=1))
    clock.advance(1)
    await store.prune(clock.now_us())
    store.close()
    database = SqliteDatabase(tmp_path / "traces.db", "traces")
    with database.read() as connection:
        for table in ("trace", "span", "feedback", "trace_text"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 0, table
        connection.exec_driver_sql("INSERT INTO trace_text(trace_text) VALUES ('integrity-check')")
    database.close()


async def test_retention_deletes_what_is_older_than_its_days(store: TraceStore, clock: ManualClock) -> None:
    record(store, "old")
    clock.advance(86_400 * 3)
    young = record(store, "young")
    assert await store.flush(30)
    retention = asyncio.create_task(store.retain(2))
    while await store.count(EVERYTHING) > 1:
        assert not retention.done()
    assert await ids(store) == [young]
    retention.cancel()
    with pytest.raises(asyncio.CancelledError):
        await retention


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ({}, "trace_by_time"),
        ({"since_us": 1, "until_us": 9}, "trace_by_time"),
        ({"min_duration_us": 1}, "trace_by_time"),
        ({"status": "error"}, "trace_by_status"),
        ({"status": "cancelled", "model": "docs"}, "trace_by_status"),
        ({"answered": False}, "trace_unanswered"),
        ({"grounded_below": 0.5}, "trace_ungrounded"),
        ({"feedback": "negative"}, "trace_judged"),
        ({"model": "docs"}, "trace_by_model"),
        ({"release_id": "rel_1"}, "trace_by_release"),
        ({"user": "ada"}, "trace_by_user"),
        ({"session": "s1"}, "trace_by_session"),
        ({"text": "gate"}, "trace_text VIRTUAL TABLE INDEX"),
    ],
)
@pytest.mark.parametrize("before", [None, 1 << 60])
def test_every_list_walks_an_index_in_its_order(
    tmp_path: Path, wanted: dict[str, Any], index: str, before: int | None
) -> None:
    """No list reads all traces, and none sorts them."""
    database = SqliteDatabase(tmp_path / "traces.db", "traces")
    statements: list[tuple[str, Any]] = []
    with database.read() as connection:
        event.listen(connection, "before_cursor_execute", lambda *call: statements.append((call[2], call[3])))
        repository.page(connection, TraceFilter(project_id="local", **wanted), 50, before)
        statement, parameters = statements[-1]
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    database.close()
    assert index in plan[0], plan
    assert not [step for step in plan if "TEMP B-TREE" in step or step.startswith("SCAN trace ")], plan


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = TraceStore.open(tmp_path / "traces.db")
    store.close()
    with pytest.raises(StorageError, match=r"traces\.db is closed"):
        await store.add_feedback("local", Feedback(trace_id="x", score=1))
