"""Waste that is found, and traffic in which there is none."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from support.ledgers import call, made, opened
from support.tracing import exchange, record

from penstock.access.advice.advice import Advice, Evidence, read_advice
from penstock.access.costs.values import CostFilter
from penstock.access.ledger import Ledger, LedgerEntry, LedgerOutcome
from penstock.access.ledger.fingerprint import fingerprint
from penstock.clock import ManualClock
from penstock.exchange import LOCAL_PROJECT, Message, Parameters, Principal, Usage
from penstock.traces.span import ContextUse, Feedback, ModelScore
from penstock.traces.store import TraceStore

LONG = "You are the assistant of a power plant. " * 200
START_US = 1_767_225_600_000_000


@pytest_asyncio.fixture
async def clock() -> ManualClock:
    return ManualClock(START_US)


@pytest_asyncio.fixture
async def ledger(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Ledger]:
    opened_one = opened(tmp_path, clock=clock)
    yield opened_one
    opened_one.close()


async def said(ledger: Ledger, clock: ManualClock, project: str | None = None, **evidence: object) -> list[Advice]:
    wanted = CostFilter(project_id=project, since_us=START_US, until_us=clock.now_us() + 1)
    return list(await read_advice(ledger, wanted, Evidence(**evidence)))  # type: ignore[arg-type]


def ok(cost: int | None = 100, output: int = 5, cached: int | None = None) -> LedgerOutcome:
    usage = Usage(10, output, cached_input=cached, cost_nanos=cost)
    return LedgerOutcome(status="ok", usage=usage, served_by="openai/gpt-4.1")


async def test_nothing_to_say(ledger: Ledger, clock: ManualClock) -> None:
    assert await said(ledger, clock) == []
    for number in range(20):
        made(ledger, call(f"question {number}"), ok())
        clock.advance(600)
    assert await said(ledger, clock) == []


async def test_the_same_question_within_an_hour(ledger: Ledger, clock: ManualClock) -> None:
    one, other = Principal(project_id="one"), Principal(project_id="other")
    for cost in (100, 200, 400):
        made(ledger, call("Why?", one), ok(cost))
        clock.advance(60)
    made(ledger, call("Why?", other), ok(1000))  # another tenant: no cache may answer it
    made(ledger, call("Why?", one, parameters=Parameters(temperature=0.7)), ok(2000))  # not the same
    made(ledger, call("Why?", one), LedgerOutcome(status="cached", usage=Usage(0, cost_nanos=0), cache="hit"))
    clock.advance(7200)
    made(ledger, call("Why?", one), ok(5000))  # too late
    (found,) = await said(ledger, clock)
    assert (found.kind, found.project_id, found.model) == ("repeated", "one", "default")
    assert (found.calls, found.saves_nanos, found.estimated) == (2, 600, False)
    assert "2 calls asked 'default'" in found.title
    assert "[cache]" in found.action
    assert await said(ledger, clock, project="other") == []


async def test_repeated_calls_without_a_price_are_worth_what_nobody_knows(
    ledger: Ledger, clock: ManualClock
) -> None:
    for _ in range(3):
        made(ledger, call("Why?"), ok(None))
        clock.advance(60)
    (found,) = await said(ledger, clock)
    assert (found.calls, found.saves_nanos) == (2, None)


async def test_a_long_beginning_that_is_read_anew(ledger: Ledger, clock: ManualClock) -> None:
    for number, cached in enumerate([None, None, 0, 2000]):
        messages = (Message("system", LONG), Message("user", f"question {number}"))
        made(ledger, call(messages=messages), ok(cached=cached))
        clock.advance(60)
    (found,) = await said(ledger, clock)
    assert (found.kind, found.calls, found.saves_nanos, found.estimated) == ("prefix", 2, None, True)
    (found,) = await said(ledger, clock, rates=lambda model: (2_000_000_000, 500_000_000))
    assert found.saves_nanos == 2 * len(LONG) // 4 * 1500
    assert "8,000 characters" in found.title


async def test_a_limit_that_no_answer_came_near(ledger: Ledger, clock: ManualClock) -> None:
    for number in range(100):
        ticket = ledger.reserve(LedgerEntry(call(f"{number}", parameters=Parameters(max_tokens=4096)), 1100))
        ledger.settle(ticket, ok(output=40 if number else 90))
        clock.advance(60)
    (found,) = await said(ledger, clock)
    assert (found.kind, found.calls, found.saves_nanos) == ("length", 100, None)
    assert "limit of 4,096 tokens was longer than 90" in found.title
    assert "180 tokens" in found.action


async def test_a_peak(ledger: Ledger, clock: ManualClock) -> None:
    for number in range(24):
        for question in range(200 if number == 9 else 1):
            made(ledger, call(f"{number} {question}"), ok())
        clock.advance(3600)
    (found,) = await said(ledger, clock)
    assert (found.kind, found.calls) == ("peak", 200)
    assert found.title == (
        "The hour from 2026-01-01 09:00 UTC had 200 of 223 calls and 89% of the money, 22 times the average hour."
    )


async def test_a_cheaper_model_that_is_liked_as_much(ledger: Ledger, clock: ManualClock) -> None:
    for number in range(10):
        made(ledger, call(f"{number}", model="big"), ok(10_000))
        made(ledger, call(f"{number}", model="small"), ok(1000))
        made(ledger, call(f"{number}", model="tiny"), ok(10))
        clock.advance(600)
    big, small = ModelScore("big", 400, 0.80, 0.2), ModelScore("small", 400, 0.79, 0.2)
    tiny = ModelScore("tiny", 400, 0.2, 0.5)
    (found,) = await said(ledger, clock, scores=[big, small, tiny])
    assert (found.kind, found.model, found.calls) == ("cheaper", "big", 10)
    assert (found.saves_nanos, found.estimated) == (90_000, True)
    assert "'small' is liked as much as 'big' (+0.79 of 400 against +0.80 of 400)" in found.title
    few = [ModelScore("big", 400, 0.80, 0.2), ModelScore("small", 29, 0.79, 0.2)]
    unsure = [ModelScore("big", 40, 0.80, 0.2), ModelScore("small", 40, 0.79, 0.2)]
    assert await said(ledger, clock, scores=few) == []
    assert await said(ledger, clock, scores=unsure) == []


async def test_passages_that_no_answer_stands_on(ledger: Ledger, clock: ManualClock) -> None:
    made(ledger, call(model="big", app="handbook"), ok())
    clock.advance(1)
    wasteful = ContextUse("handbook", answers=40, passages=320, unused=250, unused_chars=400_000)
    thrifty = ContextUse("faq", answers=40, passages=320, unused=150, unused_chars=400_000)
    few = ContextUse("new", answers=29, passages=320, unused=300, unused_chars=400_000)
    prices = {"big": (2_000_000_000, 500_000_000)}
    (found,) = await said(ledger, clock, contexts=[wasteful, thrifty, few], rates=prices.get)
    assert (found.kind, found.app, found.model, found.calls) == ("context", "handbook", "big", 40)
    assert (found.saves_nanos, found.estimated) == (100_000 * 2000, True)
    assert "250 of 320 passages" in found.title
    assert "Send fewer: 2 a question" in found.action


async def test_what_answers_used_of_their_passages_stands_in_their_traces(tmp_path: Path) -> None:
    store = TraceStore.open(tmp_path / "traces.db")
    for passages, used in ((8, 2), (8, 1), (4, 4)):
        trace = store.begin(exchange(model="handbook"))
        with trace.span("attribution") as span:
            span.set(passages=passages, passages_used=used, unused_chars=100 * (passages - used), supported=3)
        trace.set(knowledge="docs")
        trace.finish()
    record(store, model="handbook")  # one without
    assert await store.flush()
    assert await store.context_use(LOCAL_PROJECT, 0) == (ContextUse("handbook", 3, 20, 13, 1300),)
    assert await store.context_use(None, 0) == (ContextUse("handbook", 3, 20, 13, 1300),)
    assert await store.context_use("other", 0) == ()
    store.close()


async def test_scores_by_model(tmp_path: Path) -> None:
    store = TraceStore.open(tmp_path / "traces.db")
    for score in (1.0, -1.0, 1.0):
        trace = record(store, model="big")
        assert await store.flush()
        await store.add_feedback(LOCAL_PROJECT, Feedback(trace_id=trace, score=score))
    record(store, model="small")
    assert await store.flush()
    (found,) = await store.scores(LOCAL_PROJECT, 0)
    assert (found.model, found.count) == ("big", 3)
    assert (found.mean, found.variance) == (pytest.approx(1 / 3), pytest.approx(8 / 9))
    assert await store.scores("other", 0) == ()
    store.close()


def test_fingerprints_tell_questions_apart_and_not_people() -> None:
    same = fingerprint(call("Why?", user="ann"))
    assert same == fingerprint(call("Why?", user="bob", stream=True, dialect="openai", body=b"{}"))
    others = [
        call("Why not?"),
        call("Why?", model="other"),
        call("Why?", parameters=Parameters(max_tokens=3)),
        call(messages=(Message("system", "Why?"),)),
        call(messages=(), prompt="Why?", operation="complete"),
        call(messages=(), inputs=("Why?",), operation="embed"),
        call(messages=(), body=b"a", operation="image"),
        call(messages=(), body=b"b", operation="image"),
    ]
    digests = {fingerprint(each)[0] for each in others}
    assert len(digests) == len(others)
    assert same[0] not in digests
    assert fingerprint(call("half a \ud800 character")) == (None, None, None)
    long = fingerprint(call(messages=(Message("system", LONG), Message("user", "Hi"))))
    assert long[1:] == fingerprint(call(messages=(Message("system", LONG), Message("user", "Ho"))))[1:]
    assert long[2] == len(LONG)
    assert fingerprint(call(LONG))[1:] == (None, None)  # all of it is the question
