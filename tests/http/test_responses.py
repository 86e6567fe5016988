"""The Responses API on real sockets, by the official client, whatever answers behind it."""

import json
from pathlib import Path
from typing import Any

import openai
import pytest
from msgspec.structs import replace
from pydantic import BaseModel
from support.gateway_site import Site, model, site
from support.operations_upstream import Upstream, dumped, operations_upstream

from penstock.errors import UpstreamFailed
from penstock.exchange import (
    Chunk,
    Citation,
    Exchange,
    FunctionCall,
    Grounding,
    TokenLogprob,
    ToolCall,
    Usage,
)
from penstock.gateway.registry import Target
from penstock.models.providers.remote import RemoteProvider
from penstock.models.providers.vendors import remote
from penstock.testing import FakeProvider

TOOL = {
    "type": "function",
    "name": "close",
    "parameters": {"type": "object", "properties": {"gate": {"type": "string"}}},
}
EVERYTHING = frozenset(
    {"tools", "images", "files", "response_format", "logprobs", "top_logprobs", "reasoning_effort"}
)


def citation(**place: int) -> Citation:
    return Citation(
        number=1,
        document_id="doc_1",
        document="guide/gate.md",
        title="The gate",
        chunk_id="chk_1",
        start=10,
        end=30,
        quote="one person can close",
        score=0.8,
        url="/knowledge/manuals/doc_1?start=10&end=30",
        **place,
    )


def grounded_app() -> Target:
    evidence = Grounding(
        stage="evidence",
        mode="quote",
        knowledge="manuals",
        generation=7,
        answered=True,
        score=0.9,
        citations=(citation(),),
    )
    answer = replace(evidence, stage="answer", citations=(citation(answer_start=0, answer_end=5), citation()))
    end = Chunk(grounding=answer, finish_reason="stop", usage=Usage(100, 3))
    provider = FakeProvider(Chunk(grounding=evidence), "Close", " it.", end)
    return Target(name="docs", kind="app", provider=provider, operations=frozenset({"chat"}))


class Gate(BaseModel):
    name: str
    closed: bool


def local(provider: FakeProvider, **fields: Any) -> Target:
    return model(provider, features=EVERYTHING, **fields)


def elsewhere(upstream: Upstream, vendor: str, forwards: str) -> Target:
    settings = remote(f"{vendor}/upstream-model", upstream.base_url)
    return Target(
        name="big",
        kind="model",
        provider=RemoteProvider(settings),
        operations=frozenset({"chat"}),
        features=None,
        forwards=frozenset(forwards.split()),
    )


async def types_of(it: Site, **fields: Any) -> list[str]:
    stream = await it.client().responses.create(**{"model": "tiny", "input": "Hi", "stream": True} | fields)
    return [event.type async for event in stream]


TEXT = [
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
]
BEGIN = ["response.created", "response.in_progress"]


async def test_a_text_whole_and_in_events(tmp_path: Path) -> None:
    async with site(tmp_path, local(FakeProvider("Hello", " world"))) as it:
        response = await it.client().responses.create(
            model="tiny", input="Hi there", metadata={"a": "b"}, temperature=0.5
        )
        assert (response.output_text, response.status, response.model) == ("Hello world", "completed", "tiny")
        assert response.usage is not None
        assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (2, 2, 4)
        assert (response.metadata, response.temperature, response.error) == ({"a": "b"}, 0.5, None)
        assert response.text is not None
        assert response.text.format is not None
        assert (response.text.format.type, response.tool_choice, response.truncation) == (
            "text",
            "auto",
            "disabled",
        )
        assert await types_of(it) == [*BEGIN, *TEXT, "response.completed"]
        events = [json.loads(each.partition(b"data: ")[2]) for each in await it.events("/v1/responses", HI_STREAM)]
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert len({event["response"]["id"] for event in events if "response" in event}) == 1
        assert events[-1]["response"]["output"] == [events[-2]["item"]]


HI_STREAM = {"model": "tiny", "input": "Hi", "stream": True}


async def test_events_have_their_names(tmp_path: Path) -> None:
    async with site(tmp_path, local(FakeProvider("Hello"))) as it:
        for frame in await it.events("/v1/responses", HI_STREAM):
            name, _, data = frame.partition(b"\ndata: ")
            assert name == b"event: " + json.loads(data)["type"].encode()


async def test_the_helpers_of_the_official_client(tmp_path: Path) -> None:
    answer = '{"name": "north", "closed": true}'
    provider = FakeProvider(answer[:10], answer[10:])
    async with site(tmp_path, local(provider)) as it:
        client = it.client()
        parsed = await client.responses.parse(model="tiny", input="Which gate?", text_format=Gate)
        assert parsed.output_parsed == Gate(name="north", closed=True)
        constraint = provider.exchanges[-1].parameters.constraint
        assert constraint is not None
        assert (constraint.name, constraint.strict) == ("Gate", True)
        assert set(json.loads(constraint.source)["properties"]) == {"name", "closed"}
        async with client.responses.stream(model="tiny", input="Which gate?", text_format=Gate) as stream:
            async for _ in stream:
                pass
            assert (await stream.get_final_response()).output_parsed == Gate(name="north", closed=True)


def calling(exchange: Exchange) -> list[Chunk | str]:
    if exchange.messages[-1].role == "tool":
        return ["Both are closed."]
    return [
        Chunk(reasoning="Two gates."),
        "I close them.",
        Chunk(tool_calls=(ToolCall("call_a", FunctionCall("close", '{"gate":'), index=0),)),
        Chunk(tool_calls=(ToolCall("call_b", FunctionCall("close", ""), index=1),)),
        Chunk(tool_calls=(ToolCall(None, FunctionCall("", ' "north"}'), index=0),)),
        Chunk(tool_calls=(ToolCall(None, FunctionCall("", '{"gate": "south"}'), index=1),)),
        Chunk(finish_reason="tool_calls", usage=Usage(9, 4, cached_input=3, reasoning=2)),
    ]


async def test_tools_and_reasoning_and_the_turn_after(tmp_path: Path) -> None:
    provider = FakeProvider(script=calling)
    async with site(tmp_path, local(provider)) as it:
        client = it.client()
        assert await types_of(it, tools=[TOOL]) == [
            *BEGIN,
            "response.output_item.added",
            "response.reasoning_summary_part.added",
            "response.reasoning_summary_text.delta",
            "response.reasoning_summary_text.done",
            "response.reasoning_summary_part.done",
            "response.output_item.done",
            *TEXT[:3],
            *TEXT[4:],
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ]
        first = await client.responses.create(
            model="tiny", input="Close both", tools=[TOOL], tool_choice={"type": "function", "name": "close"}
        )
        assert first.usage is not None
        assert (first.usage.input_tokens, first.usage.input_tokens_details.cached_tokens) == (12, 3)
        assert (first.usage.output_tokens, first.usage.output_tokens_details.reasoning_tokens) == (6, 2)
        thought, said, north, south = first.output
        assert (thought.type, thought.summary[0].text) == ("reasoning", "Two gates.")
        assert (said.type, first.output_text) == ("message", "I close them.")
        assert (north.type, north.call_id, north.arguments) == ("function_call", "call_a", '{"gate": "north"}')
        assert (south.type, south.call_id, south.arguments) == ("function_call", "call_b", '{"gate": "south"}')
        asked = provider.exchanges[-1].parameters
        assert (asked.tool_choice, asked.tools[0].name) == ("tool:close", "close")
        assert json.loads(asked.tools[0].parameters) == TOOL["parameters"]
        outputs = [
            {"type": "function_call_output", "call_id": each.call_id, "output": "done"} for each in (north, south)
        ]
        by_id = await client.responses.create(model="tiny", input=outputs, previous_response_id=first.id)
        with_id = provider.exchanges[-1].messages
        whole = [{"role": "user", "content": "Close both"}, *[each.to_dict() for each in first.output], *outputs]
        by_hand = await client.responses.create(model="tiny", input=whole)  # type: ignore[arg-type]
        assert by_id.output_text == by_hand.output_text == "Both are closed."
        assert provider.exchanges[-1].messages == with_id
        assert [message.role for message in with_id] == ["user", "assistant", "tool", "tool"]
        turn = with_id[1]
        assert (turn.content, turn.reasoning_content) == ("I close them.", "Two gates.")
        assert [call.id for call in turn.tool_calls or ()] == ["call_a", "call_b"]


async def test_a_conversation_goes_on_by_its_last_response(tmp_path: Path) -> None:
    provider = FakeProvider(script=lambda exchange: [f"answer {len(exchange.messages)}"])
    async with site(tmp_path, local(provider)) as it:
        create = it.client().responses.create
        first = await create(model="tiny", input="one", instructions="Be brief.")
        stream = await create(model="tiny", input="two", previous_response_id=first.id, stream=True)
        second = [event async for event in stream][-1].response
        third = await create(model="tiny", input="three", previous_response_id=second.id)
        assert third.previous_response_id == second.id
        said = [(message.role, message.text) for message in provider.exchanges[-1].messages]
        assert said == [
            ("user", "one"),
            ("assistant", "answer 2"),
            ("user", "two"),
            ("assistant", "answer 3"),
            ("user", "three"),
        ]


@pytest.mark.drives(
    "POST /v1/responses",
    "GET /v1/responses/{response_id}",
    "DELETE /v1/responses/{response_id}",
    "GET /v1/responses/{response_id}/input_items",
)
async def test_responses_are_kept_listed_and_forgotten(tmp_path: Path) -> None:
    async with site(tmp_path, local(FakeProvider("Hello"))) as it:
        client = it.client()
        given = [
            {"role": "user", "content": "one"},
            {"role": "user", "content": "two"},
            {"role": "user", "content": "x"},
        ]
        first = await client.responses.create(model="tiny", input=given)  # type: ignore[arg-type]
        assert (await client.responses.retrieve(first.id)).to_dict() == first.to_dict()
        page = await client.responses.input_items.list(first.id, limit=2, order="asc")
        assert [item.content for item in page.data] == ["one", "two"]  # type: ignore[union-attr]
        assert page.has_more
        rest = await client.responses.input_items.list(first.id, after=page.last_id or "", order="asc")
        assert [item.content for item in rest.data] == ["x"]  # type: ignore[union-attr]
        await client.responses.delete(first.id)
        with pytest.raises(openai.NotFoundError, match="There is no response"):
            await client.responses.retrieve(first.id)
        with pytest.raises(openai.NotFoundError):
            await client.responses.delete(first.id)
        with pytest.raises(openai.BadRequestError, match="There is no response") as error:
            await client.responses.create(model="tiny", input="on", previous_response_id=first.id)
        assert error.value.code == "previous_response_not_found"
        unkept = await client.responses.create(model="tiny", input="Hi", store=False)
        assert unkept.to_dict()["store"] is False
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(unkept.id)


async def test_log_probabilities(tmp_path: Path) -> None:
    provider = FakeProvider(Chunk(text="Hi", logprobs=(TokenLogprob("Hi", -0.5, (("Hi", -0.5), ("Ho", -1.0))),)))
    async with site(tmp_path, local(provider)) as it:
        response = await it.client().responses.create(
            model="tiny", input="Hi", include=["message.output_text.logprobs"], top_logprobs=2
        )
        part = response.output[0].content[0]  # type: ignore[union-attr, index]
        assert part.logprobs[0].top_logprobs[1].token == "Ho"  # type: ignore[union-attr, index]
        assert provider.exchanges[-1].parameters.top_logprobs == 2


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [("length", "incomplete", "max_output_tokens"), ("content_filter", "incomplete", "content_filter")],
)
async def test_an_answer_that_was_cut_short_says_so(tmp_path: Path, finish: Any, status: str, reason: str) -> None:
    async with site(tmp_path, local(FakeProvider("Hel", Chunk(finish_reason=finish)))) as it:
        response = await it.client().responses.create(model="tiny", input="Hi", max_output_tokens=16)
        assert response.status == status
        assert response.incomplete_details is not None
        assert response.incomplete_details.reason == reason
        assert (await types_of(it))[-1] == "response.incomplete"


async def test_a_stream_that_breaks_ends_with_a_failed_response(tmp_path: Path) -> None:
    provider = FakeProvider("Hel", UpstreamFailed("corp/model broke.", hint="Try again."))
    async with site(tmp_path, local(provider)) as it:
        stream = await it.client().responses.create(model="tiny", input="Hi", stream=True)
        events = [event async for event in stream]
        assert events[-1].type == "response.failed"
        failed = events[-1].response
        assert failed.error is not None
        assert (failed.status, failed.error.message) == ("failed", "corp/model broke. Try again.")
        assert failed.output_text == "Hel"
        with pytest.raises(openai.NotFoundError):
            await it.client().responses.retrieve(failed.id)


async def test_a_grounded_app_cites(tmp_path: Path) -> None:
    async with site(tmp_path, grounded_app()) as it:
        client = it.client()
        response = await client.responses.create(model="docs", input="How do I close it?")
        (annotation,) = response.output[0].content[0].annotations  # type: ignore[union-attr, index]
        assert (annotation.type, annotation.start_index, annotation.end_index) == ("url_citation", 0, 5)
        assert annotation.url.startswith(f"{it.url}/knowledge/manuals/")
        assert response.to_dict()["penstock"]["stage"] == "answer"  # type: ignore[index]
        kept = await client.responses.retrieve(response.id)
        assert kept.output[0].to_dict() == response.output[0].to_dict()
        stream = await client.responses.create(model="docs", input="How do I close it?", stream=True)
        events = [event async for event in stream]
        assert events[0].response.to_dict()["penstock"]["stage"] == "evidence"
        assert "response.output_text.annotation.added" in [event.type for event in events]


CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "upstream-model",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Closed."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13},
}


async def test_over_an_api_that_has_only_chats(tmp_path: Path) -> None:
    picture = {"type": "input_image", "image_url": "data:image/png;base64,aGk=", "detail": "low"}
    async with operations_upstream() as upstream, site(tmp_path, elsewhere(upstream, "corp", "openai")) as it:
        upstream.replies(dumped(CHAT))
        response = await it.client().responses.create(
            model="big",
            instructions="Be brief.",
            input=[{"role": "user", "content": [{"type": "input_text", "text": "Is it closed?"}, picture]}],  # type: ignore[list-item, typeddict-item]
            tools=[TOOL],  # type: ignore[list-item]
            tool_choice="required",
            parallel_tool_calls=False,
            max_output_tokens=99,
            reasoning={"effort": "low"},
            text={"format": {"type": "json_schema", "name": "gate", "schema": {"type": "object"}, "strict": True}},
        )
        assert response.output_text == "Closed."
        sent = upstream.sent[-1]
        assert sent.path == "/v1/chat/completions"
        assert json.loads(sent.body) == {
            "model": "upstream-model",
            "max_tokens": 99,
            "messages": [
                {"role": "system", "content": "Be brief."},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "Is it closed?"},
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"}},
                    ],
                },
            ],
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "gate", "schema": {"type": "object"}, "strict": True},
            },
            "tools": [{"type": "function", "function": {"name": "close", "parameters": TOOL["parameters"]}}],
            "tool_choice": "required",
            "parallel_tool_calls": False,
            "reasoning_effort": "low",
        }


NATIVE: dict[str, Any] = {
    "id": "resp_upstream_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "upstream-model-2026",
    "output": [
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Found it.", "annotations": []}],
        },
    ],
    "usage": {
        "input_tokens": 20,
        "input_tokens_details": {"cached_tokens": 5},
        "output_tokens": 8,
        "output_tokens_details": {"reasoning_tokens": 6},
        "total_tokens": 28,
    },
    "store": True,
    "from_tomorrow": {"a": [1.0]},
}


def native_events() -> list[bytes]:
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": NATIVE | {"status": "in_progress", "output": []}},
        {"type": "response.output_text.delta", "item_id": "msg_1", "delta": "Found it.", "obfuscation": "x"},
        {"type": "response.completed", "response": NATIVE},
    ]
    return [
        f"event: {event['type']}\ndata: {json.dumps(event | {'sequence_number': number})}\n\n".encode()
        for number, event in enumerate(events)
    ]


async def test_a_provider_of_the_api_is_passed_through(tmp_path: Path) -> None:
    async with (
        operations_upstream() as upstream,
        site(tmp_path, elsewhere(upstream, "vllm", "openai responses")) as it,
    ):
        upstream.replies(dumped(NATIVE))
        asked = {"model": "big", "input": "Find it", "tools": [{"type": "web_search"}], "from_tomorrow": {"a": 1.0}}
        async with it.session.post(f"{it.url}/v1/responses", data=dumped(asked), headers=JSON) as response:
            assert (response.status, await response.read()) == (200, dumped(NATIVE))
        sent = upstream.sent[-1]
        assert (sent.path, json.loads(sent.body)) == ("/v1/responses", asked | {"model": "upstream-model"})
        trace = (await it.last_trace()).trace
        assert (trace.answer, trace.input_tokens, trace.cached_input_tokens) == ("Found it.", 15, 5)
        assert (trace.output_tokens, trace.reasoning_tokens) == (2, 6)
        events = native_events()
        upstream.streams(b"".join(events)[:300], b"".join(events)[300:], content_type="text/event-stream")
        async with it.session.post(f"{it.url}/v1/responses", json=asked | {"stream": True}) as response:
            assert await response.read() == b"".join(events)
        kept = await it.client().responses.retrieve("resp_upstream_1")
        assert kept.to_dict()["from_tomorrow"] == {"a": [1.0]}


JSON = {"content-type": "application/json"}


async def test_its_own_conversation_goes_on_there_and_anybody_elses_is_sent_along(tmp_path: Path) -> None:
    provider = FakeProvider("Hello")
    async with (
        operations_upstream() as upstream,
        site(tmp_path, local(provider), elsewhere(upstream, "vllm", "openai responses")) as it,
    ):
        create = it.client().responses.create
        upstream.replies(dumped(NATIVE))
        first = await create(model="big", input="one")
        upstream.replies(dumped(NATIVE | {"id": "resp_upstream_2"}))
        await create(model="big", input="two", previous_response_id=first.id)
        sent = json.loads(upstream.sent[-1].body)
        assert (sent["previous_response_id"], sent["input"]) == (first.id, "two")
        here = await create(model="tiny", input="three", previous_response_id=first.id)
        said = [(message.role, message.text) for message in provider.exchanges[-1].messages]
        assert said == [("user", "one"), ("assistant", "Found it."), ("user", "three")]
        await create(model="big", input="four", previous_response_id=here.id)
        sent = json.loads(upstream.sent[-1].body)
        assert "previous_response_id" not in sent
        assert [item.get("content") or item["type"] for item in sent["input"]] == [
            [{"type": "input_text", "text": "one"}],
            "web_search_call",
            [{"type": "output_text", "text": "Found it.", "annotations": []}],
            [{"type": "input_text", "text": "three"}],
            [{"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}],
            [{"type": "input_text", "text": "four"}],
        ]
        assert not any("id" in item for item in sent["input"])


async def test_an_api_that_fails_in_its_own_words(tmp_path: Path) -> None:
    failed = {
        "type": "response.failed",
        "response": NATIVE | {"status": "failed", "error": {"code": "x", "message": "No."}},
    }
    events = [*native_events()[:2], f"event: response.failed\ndata: {json.dumps(failed)}\n\n".encode()]
    async with (
        operations_upstream() as upstream,
        site(tmp_path, elsewhere(upstream, "vllm", "openai responses")) as it,
    ):
        upstream.streams(*events, content_type="text/event-stream")
        async with it.session.post(f"{it.url}/v1/responses", json=HI_STREAM | {"model": "big"}) as response:
            assert await response.read() == b"".join(events)
        trace = (await it.last_trace()).trace
        assert (trace.status, trace.error_message) == ("error", "vllm/upstream-model failed in its stream: No.")
        upstream.streams(*events[:2], content_type="text/event-stream", cut=True)
        stream = await it.client().responses.create(model="big", input="Hi", stream=True)
        last = [event async for event in stream][-1]
        assert (last.type, last.sequence_number) == ("error", 2)
        upstream.replies(dumped({"error": {"message": "Bad tool", "type": "invalid_request_error"}}), status=400)
        with pytest.raises(openai.BadRequestError, match="Bad tool"):
            await it.client().responses.create(model="big", input="Hi")


ANTHROPIC = [
    (
        "message_start",
        {
            "message": {
                "id": "m",
                "role": "assistant",
                "content": [],
                "usage": {"input_tokens": 9, "output_tokens": 1},
            }
        },
    ),
    ("content_block_start", {"index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}),
    ("content_block_delta", {"index": 0, "delta": {"type": "thinking_delta", "thinking": "Two gates."}}),
    ("content_block_delta", {"index": 0, "delta": {"type": "signature_delta", "signature": "c2lnbmVk"}}),
    ("content_block_stop", {"index": 0}),
    (
        "content_block_start",
        {"index": 1, "content_block": {"type": "tool_use", "id": "toolu_1", "name": "close", "input": {}}},
    ),
    (
        "content_block_delta",
        {"index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"gate": "north"}'}},
    ),
    ("content_block_stop", {"index": 1}),
    ("message_delta", {"delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 12}}),
    ("message_stop", {}),
]


async def test_over_anthropics_api_with_its_signed_reasoning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")
    pieces = [
        f"event: {name}\ndata: {json.dumps({'type': name} | fields)}\n\n".encode() for name, fields in ANTHROPIC
    ]
    async with operations_upstream() as upstream:
        settings = remote("anthropic/claude-sonnet-4-5", upstream.base_url)
        provider = RemoteProvider(settings)
        operations = frozenset({"chat"})
        features = provider.settings.profile.features
        target = Target(
            name="big",
            kind="model",
            provider=provider,
            operations=operations,
            features=features,
            forwards=frozenset({"anthropic"}),
        )
        async with site(tmp_path, target) as it:
            upstream.streams(*pieces, content_type="text/event-stream")
            asked = {
                "model": "big",
                "input": "Close it",
                "tools": [TOOL],
                "max_output_tokens": 4000,
                "reasoning": {"effort": "low"},
            }
            stream = await it.client().responses.create(**asked, stream=True)  # type: ignore[call-overload]
            first = [event async for event in stream][-1].response
            thought, call = first.output
            assert (thought.type, thought.summary[0].text) == ("reasoning", "Two gates.")
            assert (call.call_id, call.arguments) == ("toolu_1", '{"gate": "north"}')
            assert first.usage.output_tokens == 12
            done = {"type": "function_call_output", "call_id": "toolu_1", "output": "done"}
            items = [{"role": "user", "content": "Close it"}, thought.to_dict(), call.to_dict(), done]
            for more in ({"input": items}, {"input": [done], "previous_response_id": first.id}):
                stream = await it.client().responses.create(**asked | more, stream=True)  # type: ignore[call-overload]
                assert [event async for event in stream]
                turn = json.loads(upstream.sent[-1].body)["messages"][1]
                assert turn["content"][0] == {"type": "thinking", "thinking": "Two gates.", "signature": "c2lnbmVk"}
                assert turn["content"][1]["id"] == "toolu_1"


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "'input' is missing. Send a text, or a list of items."),
    ({"input": ""}, "'input' is empty. Send a text, or a list of items."),
    ({"input": 5}, "'input' must be a string or an array, not an integer."),
    ({"input": [{"role": "user"}]}, "'input[0].content' is missing. Add it to the request."),
    ({"input": [{"content": "x"}]}, "'input[0].type' is missing. Say what the item is, or its role."),
    (
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": 5}]}]},
        "'input[0].content[0].text' must be a string, not an integer.",
    ),
    (
        {"input": [{"role": "user", "content": "x"}, {"type": "function_call", "name": "f"}]},
        "'input[1].call_id' is missing. Add it to the request.",
    ),
    ({"input": "x", "tools": [{"type": "function"}]}, "'tools[0].name' is missing. Add it to the request."),
    (
        {"input": "x", "tool_choice": "any"},
        "'tool_choice' must be 'auto', 'none', 'required' or an object, not 'any'. "
        'To name a function, send {"type": "function", "name": "…"}.',
    ),
    ({"input": "x", "tool_choice": {"type": "function"}}, "'tool_choice.name' is missing. Add it to the request."),
    (
        {"input": "x", "text": {"format": {"type": "json_schema"}}},
        "'text.format.schema' is missing. Send the JSON schema there.",
    ),
    ({"input": "x", "max_output_tokens": 0}, "'max_output_tokens' must be an integer >= 1."),
    (
        {"input": "x", "background": True},
        "Responses in the background are not offered. "
        "Leave 'background' out, and stream the answer or wait for it.",
    ),
    (
        {"input": "x", "conversation": "conv_1"},
        "Conversations that the provider keeps are not offered. "
        "Use 'previous_response_id' instead of 'conversation'.",
    ),
    (
        {"input": "x", "previous_response_id": "resp_no"},
        "There is no response 'resp_no'. "
        "Responses are kept where 'store' is not false, as long as traces are (keep_days under [traces]).",
    ),
]
CANNOT: list[tuple[dict[str, Any], str, str]] = [
    ({"tools": [{"type": "web_search"}]}, "web_search tools", "tools[0].type"),
    ({"tool_choice": {"type": "file_search"}}, "file_search tools", "tool_choice.type"),
    ({"input": [{"type": "computer_call", "id": "x"}]}, "computer_call items", "input[0].type"),
    ({"input": [{"type": "item_reference", "id": "x"}]}, "item_reference items", "input[0].type"),
    (
        {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
        "images by file id",
        "input[0].content[0]",
    ),
    ({"truncation": "auto"}, "truncation", "truncation"),
    ({"text": {"verbosity": "low"}}, "verbosity", "text.verbosity"),
    (
        {"include": ["web_search_call.action.sources"]},
        "'web_search_call.action.sources' in its answers",
        "include[0]",
    ),
    ({"from_tomorrow": 1}, "from_tomorrow", "from_tomorrow"),
]


async def test_bad_requests_by_message(tmp_path: Path) -> None:
    async with site(tmp_path, local(FakeProvider("Hello"))) as it:
        for fields, message in BAD:
            status, answer, _ = await it.post("/v1/responses", {"model": "tiny", **fields})
            assert (status, answer["error"]["message"]) == (400, message)


async def test_what_only_its_providers_can_is_named(tmp_path: Path) -> None:
    async with operations_upstream() as upstream:
        upstream.replies(dumped(CHAT))
        async with site(tmp_path, local(FakeProvider("Hi")), elsewhere(upstream, "corp", "openai")) as it:
            for name in ("tiny", "big"):
                for fields, feature, param in CANNOT:
                    status, answer, _ = await it.post("/v1/responses", {"model": name, "input": "x"} | fields)
                    assert (status, answer["error"]["code"]) == (400, "unsupported_feature")
                    assert answer["error"]["message"].startswith(
                        f"{name!r} does not support {feature}, which {param!r} asks for."
                    )
            assert upstream.sent == []


async def test_a_local_model_names_what_it_lacks_in_the_callers_words(tmp_path: Path) -> None:
    async with site(tmp_path, model(features=frozenset())) as it:
        for fields, param in (
            ({"text": {"format": {"type": "json_object"}}}, "text.format"),
            ({"reasoning": {"effort": "low"}}, "reasoning.effort"),
            ({"tools": [TOOL]}, "tools"),
            ({"input": [{"role": "user", "content": [{"type": "input_file", "file_data": "x"}]}]}, "input"),
        ):
            _, answer, _ = await it.post("/v1/responses", {"model": "tiny", "input": "x"} | fields)
            assert answer["error"]["param"] == param


async def test_another_projects_responses_do_not_exist(tmp_path: Path) -> None:
    async with site(tmp_path, local(FakeProvider("Hello"))) as it:
        kept = await it.client().responses.create(model="tiny", input="secret")
        assert it.services.responses is not None
        own = await it.services.responses.get("local", kept.id)
        await it.services.responses.put(replace(own, project_id="other", id="resp_theirs"))
        for ask in ("GET", "DELETE"):
            async with it.session.request(ask, f"{it.url}/v1/responses/resp_theirs") as response:
                assert response.status == 404
        _, answer, _ = await it.post(
            "/v1/responses", {"model": "tiny", "input": "on", "previous_response_id": "resp_theirs"}
        )
        assert answer["error"]["code"] == "previous_response_not_found"
        assert (await it.services.responses.get("other", "resp_theirs")).body == own.body


async def test_sealed_reasoning_is_not_taken_for_another(tmp_path: Path) -> None:
    provider = FakeProvider("Hello")
    items = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}], "encrypted_content": "gAAAAA"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]},
        {"role": "user", "content": "On"},
    ]
    async with site(tmp_path, local(provider)) as it:
        await it.post("/v1/responses", {"model": "tiny", "input": items})
    turn = provider.exchanges[-1].messages[0]
    assert (turn.content, turn.reasoning_content, turn.thinking_blocks) == ("Hi", "Hm", None)
