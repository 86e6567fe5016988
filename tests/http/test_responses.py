"""The Responses API on real sockets, by the official client, over models of this machine and apps."""

import json
from pathlib import Path
from typing import Any

import openai
import pytest
from msgspec.structs import replace
from pydantic import BaseModel
from support.gateway_site import Site, site
from support.responding import HI_STREAM, TOOL, local

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
from penstock.testing import FakeProvider


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
