"""The Responses API, by the official client, over providers that speak it, only chats, or Anthropic's API."""

import json
from pathlib import Path
from typing import Any

import openai
import pytest
from support.gateway_site import site
from support.operations_upstream import dumped, operations_upstream
from support.responding import CHAT, HI_STREAM, TOOL, elsewhere, local

from penstock.gateway.registry import Target
from penstock.models.providers.remote import RemoteProvider
from penstock.models.providers.vendors import remote
from penstock.testing import FakeProvider


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
