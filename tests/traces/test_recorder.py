"""What a request leaves behind: spans in a tree, times, tokens, the outcome, and no more text than allowed."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from support.tracing import exchange

from penstock.clock import ManualClock
from penstock.errors import ModelNotFound, UpstreamFailed
from penstock.exchange import Chunk, Exchange, Grounding, Message, Parameters, Part, Usage
from penstock.traces.recorder import ActiveTrace, RecorderSettings
from penstock.traces.span import Ended, SpanRecord, TraceRecord

Begin = Callable[..., ActiveTrace]


class Recording:
    """A clock that is moved by hand and the records that come out."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.records: list[TraceRecord] = []

    def begin(self, request: Exchange, **settings: Any) -> ActiveTrace:
        return ActiveTrace(request, self.clock, RecorderSettings(**settings), self.keep)

    def keep(self, ended: Ended) -> None:
        self.records.append(ended.record())

    @property
    def record(self) -> TraceRecord:
        assert len(self.records) == 1
        return self.records[0]

    def span(self, name: str) -> SpanRecord:
        return next(span for span in self.record.spans if span.name == name)


@pytest.fixture
def recording() -> Recording:
    return Recording()


def test_spans_nest_and_are_timed(recording: Recording) -> None:
    trace = recording.begin(exchange())
    recording.clock.advance(0.5)
    with trace.span("answer") as answer:
        recording.clock.advance(1)
        with answer.tracer.span("search", "retriever", query="gate") as search:
            recording.clock.advance(0.25)
            search.set(limit=5)
        recording.clock.advance(1)
    trace.finish()
    root, outer, inner = (recording.span(name) for name in ("chat docs", "answer", "search"))
    assert (root.parent_id, outer.parent_id, inner.parent_id) == (None, root.id, outer.id)
    assert [(span.started_us - root.started_us, span.duration_us) for span in (root, outer, inner)] == [
        (0, 2_750_000),
        (500_000, 2_250_000),
        (1_500_000, 250_000),
    ]
    assert inner.kind == "retriever"
    assert inner.values() == {"input.value": "gate", "limit": 5}
    assert recording.record.summary.duration_us == 2_750_000


def test_an_exception_marks_its_span_and_those_around_it(recording: Recording) -> None:
    trace = recording.begin(exchange())
    failure = ModelNotFound("model 'gpt5' is not configured")
    with trace.span("before"):
        pass
    with pytest.raises(ModelNotFound), trace.span("call", "llm"):
        raise failure
    trace.finish(failure)
    assert [span.status for span in recording.record.spans] == ["error", "ok", "error"]
    assert recording.span("call").error == "model 'gpt5' is not configured"
    summary = recording.record.summary
    assert (summary.status, summary.error_code) == ("error", "model_not_found")


@pytest.mark.parametrize("left", [asyncio.CancelledError(), GeneratorExit()])
def test_a_client_that_leaves_is_no_error_of_ours(recording: Recording, left: BaseException) -> None:
    trace = recording.begin(exchange())
    trace.saw_chunk(Chunk(text="Abo"))
    trace.finish(left)
    summary = recording.record.summary
    assert (summary.status, summary.error_code, summary.answer) == ("cancelled", "cancelled", "Abo")


def test_what_is_still_open_ends_with_the_trace(recording: Recording) -> None:
    trace = recording.begin(exchange())
    recording.clock.advance(1)
    trace.span("hangs")
    recording.clock.advance(2)
    trace.finish()
    hanging = recording.span("hangs")
    assert (hanging.status, hanging.duration_us) == ("unfinished", 2_000_000)
    trace.span("too late")
    trace.finish(ValueError("twice"))
    assert len(recording.record.spans) == 2
    assert recording.record.summary.status == "ok"


def test_times_and_tokens_of_an_answer(recording: Recording) -> None:
    trace = recording.begin(exchange(user="ada"))
    recording.clock.advance(0.04)
    evidence = Grounding(stage="evidence", mode="quote", knowledge="docs", generation=7, answered=False, score=0.1)
    trace.saw_chunk(Chunk(grounding=evidence))
    recording.clock.advance(1)
    trace.saw_chunk(Chunk(text="The documents do not say.", finish_reason="stop", usage=Usage(1, 1)))
    trace.set(session="s1")
    trace.set_release("rel_1")
    trace.finish(usage=Usage(12, 5, cached_input=30, reasoning=2, cost_nanos=99))
    summary = recording.record.summary
    assert summary.first_chunk_us == 40_000
    assert (summary.input_tokens, summary.cached_input_tokens) == (12, 30)
    assert (summary.output_tokens, summary.reasoning_tokens, summary.cost_nanos) == (5, 2, 99)
    assert (summary.answered, summary.knowledge, summary.generation) == (False, "docs", 7)
    assert (summary.release_id, summary.user, summary.session) == ("rel_1", "ada", "s1")
    values = recording.record.spans[0].values()
    assert values["gen_ai.usage.input_tokens"] == 42
    assert values["gen_ai.usage.cache_read.input_tokens"] == 30
    assert values["gen_ai.usage.output_tokens"] == 7
    assert values["session.id"] == "s1"
    assert values["penstock.release"] == "rel_1"


def test_what_is_unknown_is_null_and_not_zero(recording: Recording) -> None:
    recording.begin(exchange()).finish()
    summary = recording.record.summary
    unknown = (
        summary.input_tokens,
        summary.cost_nanos,
        summary.first_chunk_us,
        summary.answered,
        summary.generation,
    )
    assert unknown == (None,) * 5


def test_the_exact_messages_are_kept_under_the_conventions_names(recording: Recording) -> None:
    asked = (Message("system", "Be brief."), Message("user", "  Two\n lines  "))
    trace = recording.begin(exchange(messages=asked, parameters=Parameters(temperature=0.0, stop=("END",))))
    trace.saw_chunk(Chunk(text="Yes.", finish_reason="length"))
    trace.finish()
    values = recording.record.spans[0].values()
    assert values["gen_ai.input.messages"] == [
        {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
        {"role": "user", "parts": [{"type": "text", "content": "  Two\n lines  "}]},
    ]
    assert values["output.value"] == "Yes."
    assert values["gen_ai.response.finish_reasons"] == ["length"]
    assert values["gen_ai.request.temperature"] == 0.0
    assert values["gen_ai.request.stop_sequences"] == ["END"]
    assert "gen_ai.request.top_p" not in values
    assert recording.record.summary.question == "Two lines"


def test_a_body_with_more_than_text_is_kept_as_it_came(recording: Recording) -> None:
    body = b'{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:,x"}}]}]}'
    picture = Message("user", [Part("image_url")])
    recording.begin(exchange(messages=(picture,), body=body)).finish()
    kept = recording.record.spans[0].values()["penstock.request.body"]
    assert kept["messages"][0]["content"][0]["image_url"] == {"url": "data:,x"}


@pytest.mark.parametrize(
    ("fields", "question"),
    [
        ({"messages": (Message("user", "first"), Message("assistant", "no"), Message("user", "last"))}, "last"),
        ({"messages": (Message("user", [Part("text", "a"), Part("text", "b")]),)}, "a b"),
        ({"operation": "complete", "messages": (), "prompt": "Once upon"}, "Once upon"),
        ({"operation": "embed", "messages": (), "inputs": ("one", "two")}, "one"),
        ({"messages": (Message("system", "x"),)}, ""),
        ({"messages": (Message("user", "y" * 600),)}, "y" * 499 + "…"),
    ],
)
def test_the_question_of_a_request(recording: Recording, fields: dict[str, Any], question: str) -> None:
    recording.begin(exchange(**fields)).finish()
    assert recording.record.summary.question == question


def test_long_texts_are_cut_within_the_bound_and_say_so(recording: Recording) -> None:
    trace = recording.begin(exchange("q" * 50_000), max_span_bytes=10_000)
    for _ in range(100):
        trace.saw_chunk(Chunk(text="ü" * 1000))
    trace.finish()
    attributes = recording.record.spans[0].attributes
    assert len(bytes(attributes)) < 12_000
    question = recording.record.spans[0].values()["gen_ai.input.messages"][0]["parts"][0]["content"]
    assert question.endswith(" bytes cut]")
    kept = question.index("…")
    assert question == "q" * kept + f"… [{50_000 - kept} bytes cut]"


def test_without_content_no_words_are_kept(recording: Recording) -> None:
    trace = recording.begin(exchange("my secret question", user="ada", prompt="my secret prompt"), content=False)
    with trace.span("search", "retriever", query="my secret", limit=5, hits=[{"text": "my secret"}]):
        trace.saw_chunk(Chunk(text="my secret answer", finish_reason="stop", usage=Usage(3, 4)))
    with pytest.raises(ValueError), trace.span("fail"):
        raise ValueError("my secret")
    trace.finish(UpstreamFailed("The upstream is gone."))
    stored = repr(recording.record) + "".join(str(span.values()) for span in recording.record.spans)
    assert "secret" not in stored
    assert recording.span("search").values() == {"limit": 5}
    assert recording.record.spans[0].values()["gen_ai.request.model"] == "docs"
    assert recording.record.summary.output_tokens == 4
    assert recording.record.summary.user == "ada"


def test_an_error_does_not_carry_a_key_into_the_trace(recording: Recording) -> None:
    trace = recording.begin(exchange())
    with pytest.raises(KeyError), trace.span("call"):
        raise KeyError("Authorization: Bearer abc")
    trace.finish(
        UpstreamFailed(
            "Incorrect API key provided: sk-proj-abcdefghijklmnop, pst_abcdefghijklmnopq. Header was Bearer hunter2"
        )
    )
    stored = repr(recording.record)
    assert recording.span("call").error == "An unexpected KeyError; the log says more."
    for secret in ("abc", "sk-proj", "hunter2"):
        assert secret not in stored
    assert (
        recording.record.summary.error_message
        == "Incorrect API key provided: ********, ********. Header was ********"
    )


def test_values_without_a_json_form_do_not_fail_the_request(recording: Recording) -> None:
    circle: list[Any] = []
    circle.append(circle)
    trace = recording.begin(exchange("half \ud83d a pair"))
    with trace.span("odd \udc00", "tool", thing=object(), broken="\ud800", circle=circle, fine=1):
        pass
    trace.finish()
    values = recording.record.spans[1].values()
    assert values == {"thing": "<object>", "broken": "?", "circle": "<list>", "fine": 1}
    assert recording.record.summary.question == "half ? a pair"


async def test_tasks_and_threads_record_into_one_trace(recording: Recording) -> None:
    trace = recording.begin(exchange())

    async def task(number: int) -> None:
        with trace.span(f"task {number}") as span:
            await asyncio.sleep(0)
            await asyncio.to_thread(thread, span.tracer, number)

    def thread(tracer: Any, number: int) -> None:
        for _ in range(50):
            with tracer.span(f"thread {number}"):
                pass

    await asyncio.gather(*(task(number) for number in range(8)))
    trace.finish()
    spans = recording.record.spans
    assert len(spans) == 1 + 8 + 8 * 50
    assert len({span.id for span in spans}) == len(spans)
    parents = {span.id: span.name for span in spans}
    for span in spans:
        if span.name.startswith("thread") and span.parent_id:
            assert parents[span.parent_id] == span.name.replace("thread", "task")


def test_what_happens_after_the_end_is_not_recorded() -> None:
    waiting: list[Ended] = []
    trace = ActiveTrace(exchange(), ManualClock(), RecorderSettings(), waiting.append)
    trace.saw_chunk(Chunk(text="Above."))
    with trace.span("done", "llm", model="a") as done:
        pass
    hanging = trace.span("hangs", "tool")
    trace.finish()
    assert waiting == [trace]
    trace.set(session="late")
    trace.set_release("rel_late")
    trace.saw_chunk(Chunk(text=" No.", finish_reason="stop", usage=Usage(1, 1)))
    trace.finish(ValueError("late"), Usage(2, 2))
    done.set(model="late")
    hanging.set(late=True)
    hanging.backdate(1)
    hanging.end()
    with hanging.tracer.span("below"):
        pass
    record = waiting[0].record()
    assert record.summary.answer == "Above."
    assert (record.summary.status, record.summary.session, record.summary.output_tokens) == ("ok", None, None)
    assert [(span.name, span.status, span.duration_us) for span in record.spans] == [
        ("chat docs", "ok", 0),
        ("done", "ok", 0),
        ("hangs", "unfinished", 0),
    ]
    assert [span.values() for span in record.spans[1:]] == [{"gen_ai.request.model": "a"}, {}]


def test_values_that_may_change_are_recorded_as_they_were_at_the_end() -> None:
    waiting: list[Ended] = []
    hits = [{"text": "before"}]
    trace = ActiveTrace(exchange(), ManualClock(), RecorderSettings(), waiting.append)
    with trace.span("search", "retriever", hits=hits):
        pass
    trace.finish()
    hits[0]["text"] = "after"
    hits.append({})
    assert waiting[0].record().spans[1].values() == {"retrieval.documents": [{"text": "before"}]}


@pytest.mark.parametrize("fields", [{"body": b"b" * 5_000_000}, {"messages": (Message("user", "q" * 5_000_000),)}])
def test_what_waits_keeps_no_more_memory_than_it_says(fields: dict[str, Any]) -> None:
    waiting: list[Ended] = []
    for content in (True, False):
        ActiveTrace(exchange(**fields), ManualClock(), RecorderSettings(content=content), waiting.append).finish()
    for ended in waiting:
        kept = sum(len(row[-1]) for row in ended.record().span_rows)
        assert kept < ended.size < 300_000
        assert not isinstance(ended, ActiveTrace)


def test_steps_of_a_call_hang_below_it(recording: Recording) -> None:
    trace = recording.begin(exchange())
    with trace.span("before"):
        pass
    with trace.descend("chat smollm2", "llm") as call, trace.span("attempt"):
        pass
    with call.tracer.span("own"):
        pass
    trace.finish()
    root, before, called, attempt, own = recording.record.spans
    assert [span.parent_id for span in (before, called)] == [root.id] * 2
    assert [span.parent_id for span in (attempt, own)] == [called.id] * 2
