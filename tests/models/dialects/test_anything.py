"""Whatever comes is read or refused, and whatever is answered is written as a stream that reads the same."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.streams import ASKED, streamed, through, writer_in

from penstock.errors import InvalidRequest
from penstock.exchange import Chunk, Citation, Exchange, FunctionCall, Grounding, ThinkingBlock, ToolCall, Usage
from penstock.models.dialects.anthropic import upstream as anthropic
from penstock.models.dialects.anthropic.answers import MessagesWriter
from penstock.models.dialects.anthropic.requests import read_messages
from penstock.models.dialects.collecting import collected
from penstock.models.dialects.features import needed
from penstock.models.dialects.openai import upstream as openai
from penstock.models.dialects.openai.requests import read_chat
from penstock.models.dialects.openai.upstream import EventReader

NAMES = [
    *("messages", "role", "content", "type", "text", "tools", "tool_choice", "function", "name", "input_schema"),
    *("system", "thinking", "source", "output_config", "format", "schema", "response_format", "json_schema"),
    *("choices", "delta", "message", "index", "usage", "tool_calls", "content_block", "logprobs", "finish_reason"),
    *("input", "partial_json", "citations", "stop", "n", "max_tokens", "tool_use_id", "url", "data", "image_url"),
]
WORDS = [
    *("user", "assistant", "tool", "text", "tool_use", "tool_result", "thinking", "document", "image", "base64"),
    *("message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "tool"),
    *("json_schema", "regex", "function", "enabled", "x", ""),
]
leaves = st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from(WORDS) | st.floats(allow_nan=False)
anything = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=12,
)
turns = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": anything}), max_size=3
)
bodies = st.dictionaries(st.sampled_from(NAMES), anything, max_size=5)


@given(bodies, turns)
def test_a_request_is_read_or_refused(body: dict[str, Any], messages: list[Any]) -> None:
    data = json.dumps({"max_tokens": 5} | body | {"messages": messages}).encode()
    for read in (read_chat, read_messages):
        try:
            exchange = read(data, Exchange(id="", trace_id=""))
        except InvalidRequest as error:
            assert str(error)
        else:
            assert all(need.feature and need.param for need in needed(exchange))


@given(bodies, st.sampled_from([word for word in WORDS if "_" in word]))
def test_an_answer_is_read_as_far_as_it_is_understood(body: dict[str, Any], kind: str) -> None:
    reader = anthropic.StreamReader()
    for fields in (body, body | {"type": kind}, body | {"type": "message"}):
        data = json.dumps(fields).encode()
        assert openai.read_event(data).chunk.raw == data
        assert reader.read_event(data).chunk.raw == data
        for chunk in (openai.read_body(data), anthropic.read_body(data)):
            assert chunk is None or chunk.raw == data
        openai.error_message(data)
        anthropic.error_message(data)


@pytest.mark.parametrize("place", ["input_schema", "parameters", "input"])
def test_bytes_that_are_no_text(place: str) -> None:
    tool = b'{"name":"f","function":{"name":"f","parameters":{"a":"\xff"}},"input_schema":{"a":"\xff"}}'
    turn = b'{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{"a":"\xff"}}]}'
    tools = b'"tools":[' + tool + b"]," if place != "input" else b""
    body = b'{"max_tokens":5,' + tools + b'"messages":[' + turn + b"]}"
    read = read_chat if place == "parameters" else read_messages
    with pytest.raises(InvalidRequest, match="not UTF-8"):
        read(body, Exchange(id="", trace_id=""))
    unread = b'{"max_tokens":5,"messages":[{"role":"user","content":"x"}],"new":"\xff"}'
    with pytest.raises(InvalidRequest, match="not UTF-8"):
        list(needed(read(unread, Exchange(id="", trace_id=""))))


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
pieces = st.one_of(
    st.builds(Chunk, text=words),
    st.builds(Chunk, reasoning=words),
    st.builds(
        Chunk,
        thinking_blocks=st.tuples(st.builds(ThinkingBlock, st.just("thinking"), signature=words.filter(bool))),
    ),
    st.builds(
        Chunk,
        thinking_blocks=st.tuples(st.builds(ThinkingBlock, st.just("redacted_thinking"), data=words.filter(bool))),
    ),
)


@st.composite
def answers(draw: st.DrawFn) -> list[Chunk]:
    """Thoughts and words in any order, then calls, piece by piece, then the end."""
    chunks = draw(st.lists(pieces, max_size=6))
    calls = draw(st.integers(0, 2))
    for at in range(calls):
        chunks.append(Chunk(tool_calls=(ToolCall(f"call_{at}", FunctionCall("f"), index=at),)))
        for piece in ["{", *draw(st.lists(st.just(" "), max_size=2)), "}"]:
            chunks.append(Chunk(tool_calls=(ToolCall(function=FunctionCall(arguments=piece), index=at),)))
    usage = Usage(draw(st.integers(0, 9)), draw(st.integers(0, 9)), draw(st.integers(0, 9)), cache_write=0)
    return [*chunks, Chunk(finish_reason="tool_calls" if calls else "stop", usage=usage)]


@given(answers(), st.sampled_from(["openai", "anthropic"]))
def test_a_stream_reads_as_it_was_written(chunks: list[Chunk], dialect: str) -> None:
    """Joined, that is: thoughts that no signature closes go on in the next block."""
    said, read = collected(chunks), through(chunks, dialect)
    assert (read.text, read.reasoning) == (said.text, said.reasoning)
    assert (read.tool_calls, read.finish_reason) == (said.tool_calls, said.finish_reason)
    assert [(block.type, block.signature, block.data) for block in read.thinking_blocks] == [
        (block.type, block.signature, block.data) for block in said.thinking_blocks
    ]
    assert read.usage is not None and said.usage is not None
    assert (read.usage.prompt_tokens, read.usage.output) == (said.usage.prompt_tokens, said.usage.output)


@given(answers(), st.sampled_from(["openai", "anthropic"]))
def test_a_whole_answer_reads_as_it_was_written(chunks: list[Chunk], dialect: str) -> None:
    said = collected(chunks)
    read_body = openai.read_body if dialect == "openai" else anthropic.read_body
    read = read_body(writer_in(dialect).whole(chunks))
    assert read is not None
    assert (read.text, read.tool_calls, read.finish_reason) == (said.text, said.tool_calls, said.finish_reason)
    if dialect == "openai" or not said.thinking_blocks:
        assert read.reasoning == said.reasoning


@given(answers())
def test_one_whole_chunk_streams_like_its_pieces(chunks: list[Chunk]) -> None:
    """A cache gives back an answer as one chunk."""
    said = collected(chunks)
    read = through([said], "anthropic")
    assert (read.text, read.tool_calls, read.finish_reason) == (said.text, said.tool_calls, said.finish_reason)
    assert [(block.signature, block.data) for block in read.thinking_blocks] == [
        (block.signature, block.data) for block in said.thinking_blocks
    ]


def test_a_call_without_an_id_gets_one() -> None:
    piece = ToolCall(function=FunctionCall("f", "{}"), index=0)
    chunks = [Chunk(tool_calls=(piece,)), Chunk(finish_reason="tool_calls")]
    ids = [
        through(chunks, "anthropic").tool_calls[0].id,
        json.loads(MessagesWriter(ASKED).whole(chunks))["content"][0]["id"],
    ]
    assert ids == [f"toolu_{ASKED.trace_id}_0"] * 2


def test_arguments_that_are_no_object_stay_readable() -> None:
    call = ToolCall("a", FunctionCall("f", "not json"), index=0)
    whole = json.loads(MessagesWriter(ASKED).whole([Chunk(tool_calls=(call,), finish_reason="tool_calls")]))
    assert whole["content"] == [{"type": "tool_use", "id": "a", "name": "f", "input": {"arguments": "not json"}}]


def test_citations_of_an_app() -> None:
    citation = Citation(
        number=1,
        document_id="d",
        document="a.md",
        title="Returns",
        chunk_id="c",
        start=0,
        end=7,
        quote="30 days",
        score=0.9,
        url="/documents/d",
        answer_start=0,
        answer_end=7,
    )
    grounding = Grounding(
        stage="answer",
        mode="quote",
        knowledge="docs",
        generation=1,
        answered=True,
        score=0.9,
        citations=(citation,),
    )
    chunks = [Chunk(text="30 days"), Chunk(finish_reason="stop", grounding=grounding)]
    cited = {
        "type": "search_result_location",
        "cited_text": "30 days",
        "source": "http://localhost/documents/d",
        "title": "Returns",
        "search_result_index": 0,
        "start_block_index": 0,
        "end_block_index": 1,
    }
    whole = json.loads(MessagesWriter(ASKED, "http://localhost").whole(chunks))
    assert whole["content"] == [{"type": "text", "text": "30 days", "citations": [cited]}]
    writer = MessagesWriter(ASKED, "http://localhost")
    stream = b"".join(map(writer.event, chunks))
    deltas = [json.loads(data).get("delta") for data in EventReader().feed(stream)]
    assert {"type": "citations_delta", "citation": cited} in deltas


def test_unsigned_thoughts_in_one_chunk() -> None:
    chunk = Chunk(text="Fine", reasoning="Hm", finish_reason="stop")
    assert replace(through([chunk], "anthropic"), usage=None) == chunk
    assert b'"type":"thinking_delta","thinking":"Hm"' in streamed([chunk], "anthropic")
