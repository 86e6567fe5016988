"""Items of the Responses API to messages and on to a chat: everything that can be said survives."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from penstock.exchange import Chunk, Exchange, FunctionCall, ThinkingBlock, ToolCall
from penstock.models.dialects.openai.requests import Wording, written
from penstock.models.dialects.responses.answers import ResponsesWriter
from penstock.models.dialects.responses.items import messages_of, opened, sealed
from penstock.models.dialects.responses.requests import Past, asked, read_response, with_past

TEXT = st.text(min_size=1, max_size=20)
NAME = st.from_regex(r"[a-z]{1,8}", fullmatch=True)


def said(role: str, kind: str) -> st.SearchStrategy[dict[str, Any]]:
    part = st.builds(lambda text: {"type": kind, "text": text}, TEXT)
    content = st.one_of(TEXT, st.lists(part, min_size=1, max_size=3))
    return st.builds(lambda content: {"role": role, "type": "message", "content": content}, content)


USER = said("user", "input_text")
CALL = st.builds(
    lambda id, name, value: [
        {"type": "function_call", "call_id": id, "name": name, "arguments": json.dumps({"a": value})},
        {"type": "function_call_output", "call_id": id, "output": value},
    ],
    NAME,
    NAME,
    TEXT,
)
TURN = st.one_of(
    USER.map(lambda item: [item]),
    said("assistant", "output_text").map(lambda item: [item]),
    said("developer", "input_text").map(lambda item: [item]),
    CALL,
)
ITEMS = st.lists(TURN, min_size=1, max_size=8).map(lambda turns: [item for turn in turns for item in turn])


def exchange() -> Exchange:
    return Exchange(id="req_1", trace_id="0" * 32)


def texts_of(content: Any) -> list[str]:
    return [content] if isinstance(content, str) else [part["text"] for part in content or ()]


def leaves(messages: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """What a chat says, piece by piece."""
    found: list[tuple[str, ...]] = []
    for message in messages:
        if message["role"] == "tool":
            found.append(("output", message["tool_call_id"], message["content"]))
            continue
        found += [(message["role"], text) for text in texts_of(message["content"])]
        for call in message.get("tool_calls") or ():
            found.append(("call", call["id"], call["function"]["name"], call["function"]["arguments"]))
    return found


def expected(items: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for item in items:
        if item["type"] == "message":
            found += [(item["role"], text) for text in texts_of(item["content"])]
        elif item["type"] == "function_call":
            found.append(("call", item["call_id"], item["name"], item["arguments"]))
        else:
            found.append(("output", item["call_id"], item["output"]))
    return found


@given(ITEMS)
def test_input_to_a_chat_keeps_everything_in_order(items: list[dict[str, Any]]) -> None:
    body = json.dumps({"model": "m", "input": items, "instructions": "Be brief."}).encode()
    wire = json.loads(written(read_response(body, exchange()), "m", Wording()))
    first, *rest = wire["messages"]
    assert first == {"role": "system", "content": "Be brief."}
    assert leaves(rest) == expected(items)


@given(ITEMS)
def test_a_call_stands_in_the_message_before_its_output(items: list[dict[str, Any]]) -> None:
    """What chat APIs demand: every tool message answers a call of the assistant's message before it."""
    waiting: set[str | None] = set()
    for message in messages_of(items):
        if message.role == "tool":
            assert message.tool_call_id in waiting
        else:
            waiting = {call.id for call in message.tool_calls or ()}


@given(ITEMS, st.integers(0, 8))
def test_a_past_and_an_input_are_one_conversation(items: list[dict[str, Any]], at: int) -> None:
    past, now = items[:at], items[at:] or [{"type": "message", "role": "user", "content": "x"}]
    body = json.dumps({"model": "m", "input": now, "instructions": "Be brief."}).encode()
    found = with_past(read_response(body, exchange()), Past(tuple(past)))
    assert found.messages[0].text == "Be brief."
    assert list(found.messages[1:]) == messages_of([*past, *now])
    assert asked(found).past.items == tuple(past)


PIECES = st.lists(
    st.one_of(
        TEXT.map(lambda text: Chunk(text=text)),
        TEXT.map(lambda text: Chunk(reasoning=text)),
        st.tuples(st.integers(0, 2), TEXT).map(
            lambda both: Chunk(tool_calls=(ToolCall(f"call_{both[0]}", FunctionCall("f", both[1]), index=both[0]),))
        ),
    ),
    max_size=12,
)


def events_of(chunks: list[Chunk]) -> list[dict[str, Any]]:
    writer = ResponsesWriter(read_response(b'{"model":"m","input":"Hi"}', exchange()), "")
    data = b"".join(writer.event(chunk) for chunk in chunks) + writer.end()
    return [json.loads(each.partition(b"data: ")[2]) for each in data.split(b"\n\n")[:-1]]


@given(PIECES)
def test_the_deltas_of_a_stream_add_up_to_its_response(chunks: list[Chunk]) -> None:
    chunks = [*chunks, Chunk(finish_reason="stop")]
    events = events_of(chunks)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    last = events[-1]["response"]
    grown: dict[int, str] = {}
    done: dict[int, Any] = {}
    for event in events:
        if event["type"] == "response.output_item.added":
            assert event["output_index"] == len(grown)
            grown[event["output_index"]] = ""
        elif event["type"].endswith(".delta"):
            assert event["output_index"] not in done
            grown[event["output_index"]] += event["delta"]
        elif event["type"] == "response.output_item.done":
            done[event["output_index"]] = event["item"]
    assert [done[place] for place in sorted(done)] == last["output"]
    assert [grown[place] for place in sorted(grown)] == [text_of(item) for item in last["output"]]
    writer = ResponsesWriter(read_response(b'{"model":"m","input":"Hi"}', exchange()), "")
    assert json.loads(writer.whole(chunks))["output"] == last["output"]


def text_of(item: dict[str, Any]) -> str:
    if item["type"] == "function_call":
        return str(item["arguments"])
    (part,) = item["summary"] if item["type"] == "reasoning" else item["content"]
    return str(part["text"])


@given(st.lists(st.builds(ThinkingBlock, st.just("thinking"), TEXT, TEXT), min_size=1, max_size=3))
def test_sealed_reasoning_opens(blocks: list[ThinkingBlock]) -> None:
    assert opened(sealed(blocks)) == blocks


@given(st.text())
def test_what_others_sealed_stays_closed(content: str) -> None:
    assert opened(content) == []
    assert opened("penstock." + content + "!") == []
