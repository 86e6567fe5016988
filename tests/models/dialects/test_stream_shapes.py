"""Streams as the vendors document them: what they say, and that it survives the way through the other dialect."""

import json

import pytest
from msgspec.structs import replace
from support.streams import chunks_of, data_of, streamed, through, writer_in

from penstock.exchange import Chunk, FunctionCall, ThinkingBlock, TokenLogprob, ToolCall, Usage
from penstock.models.dialects.anthropic.upstream import StreamReader
from penstock.models.dialects.anthropic.upstream import read_body as read_message
from penstock.models.dialects.collecting import collected
from penstock.models.dialects.openai.upstream import EventReader
from penstock.models.dialects.openai.upstream import read_body as read_completion

SIGNATURE = "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pkiMOYds84GB2yxvMbdZ8+3Hj0Vw=="
THOUGHT = "The user wants the weather in two cities."
SAID: dict[str, Chunk] = {
    "openai-parallel-tools": Chunk(
        tool_calls=(
            ToolCall("call_DdmO9pD3xa9XTPNJ32zg2hcA", FunctionCall("get_weather", '{"city": "Paris"}'), index=0),
            ToolCall("call_ABt9C3xG2k6mQwzqPnL0uVfe", FunctionCall("get_weather", '{"city": "Bogotá"}'), index=1),
        ),
        finish_reason="tool_calls",
        usage=Usage(18, 48, 64, 0),
    ),
    "openai-two-answers": Chunk(
        text="Yes.",
        finish_reason="stop",
        logprobs=(
            TokenLogprob("Yes", -0.0201, (("Yes", -0.0201), ("No", -4.1))),
            TokenLogprob(".", -0.3, ((".", -0.3), ("!", -1.6))),
        ),
        usage=Usage(9, 4),
        others=(
            Chunk(
                index=1,
                text="No way",
                finish_reason="length",
                logprobs=(
                    TokenLogprob("No", -4.1, (("Yes", -0.0201), ("No", -4.1))),
                    TokenLogprob(" way", -2.5, ((".", -0.2), (" way", -2.5))),
                ),
            ),
        ),
    ),
    "deepseek-reasoning": Chunk(
        text="9.8 is greater.",
        reasoning="9.11 has a smaller tenth.",
        finish_reason="stop",
        usage=Usage(16, 9, 0, 22),
    ),
    "openrouter-reasoning": Chunk(
        text="4", reasoning="Two and two.", finish_reason="stop", usage=Usage(8, 3, None, 6)
    ),
    "anthropic-thinking-tools": Chunk(
        text="I'll look both up.",
        reasoning=THOUGHT,
        thinking_blocks=(ThinkingBlock("thinking", THOUGHT, SIGNATURE),),
        tool_calls=(
            ToolCall("toolu_01T1x1fJ34qAmk2tNTrN7Up6", FunctionCall("get_weather", '{"city": "Paris"}'), index=0),
            ToolCall("toolu_01HbS8q4vWcY2m9LkXpTeR3n", FunctionCall("get_time", "{}"), index=1),
        ),
        finish_reason="tool_calls",
        usage=Usage(472, 115, 2048, 74, cache_write=1024),
    ),
    "anthropic-redacted-web-search": Chunk(
        text="It is sunny.",
        thinking_blocks=(
            ThinkingBlock(
                "redacted_thinking", data="EmwKAhgBEgy3va3pzix/LafPsn4aDFIT2Xlxh0L5L8rLVyIwxtE3rAFBa8cr3qpPkNRj"
            ),
        ),
        finish_reason="stop",
        usage=Usage(2679, 510, 0, cache_write=0),
    ),
}


def dialect_of(name: str) -> str:
    return "anthropic" if name.startswith("anthropic") else "openai"


@pytest.mark.parametrize("name", SAID)
def test_what_a_stream_says(name: str) -> None:
    assert collected(chunks_of(data_of(name), dialect_of(name))) == SAID[name]


@pytest.mark.parametrize("name", SAID)
def test_what_openai_callers_read(name: str) -> None:
    """Tokens written to a cache are input here: this dialect has no word for them."""
    said, chunks = SAID[name], chunks_of(data_of(name), dialect_of(name))
    read = through(chunks, "openai")
    assert said.usage is not None and read.usage is not None
    assert read.usage.prompt_tokens == said.usage.prompt_tokens
    assert (read.usage.cached_input, read.usage.output) == (said.usage.cached_input, said.usage.output)
    assert replace(read, usage=None) == replace(said, usage=None)
    whole = read_completion(writer_in("openai").whole(chunks))
    assert whole is not None
    assert replace(whole, raw=None, usage=None) == replace(said, usage=None)


@pytest.mark.parametrize("name", SAID)
def test_what_anthropic_callers_read(name: str) -> None:
    """Of several answers they get the first, and no log-probabilities."""
    said, chunks = SAID[name], chunks_of(data_of(name), dialect_of(name))
    kept = replace(said, others=(), logprobs=(), usage=None)
    if said.reasoning and not said.thinking_blocks:
        unsigned = (ThinkingBlock("thinking", said.reasoning, ""),)
        whole_kept = replace(kept, thinking_blocks=unsigned)
    else:
        whole_kept = kept
    read = through(chunks, "anthropic")
    whole = read_message(writer_in("anthropic").whole(chunks))
    assert whole is not None
    assert replace(read, usage=None) == kept
    assert replace(whole, raw=None, usage=None) == whole_kept
    for usage in (read.usage, whole.usage):
        assert usage is not None and said.usage is not None
        assert (usage.input, usage.completion_tokens) == (said.usage.input, said.usage.completion_tokens)
        assert (usage.cached_input, usage.cache_write) == (
            said.usage.cached_input or 0,
            said.usage.cache_write or 0,
        )


@pytest.mark.parametrize("name", SAID)
def test_anthropic_blocks_follow_each_other(name: str) -> None:
    """Each block begins, goes on and ends under the next number, between the start and the end of the message."""
    stream = streamed(chunks_of(data_of(name), dialect_of(name)), "anthropic")
    events = [json.loads(data) for data in EventReader().feed(stream)]
    kinds = [line.removeprefix(b"event: ").decode() for line in stream.split(b"\n") if line.startswith(b"event: ")]
    assert kinds == [event["type"] for event in events]
    assert (kinds[0], kinds[-2:]) == ("message_start", ["message_delta", "message_stop"])
    current, place = None, 0
    for event in events[1:-2]:
        if event["type"] == "content_block_start":
            assert current is None
            current = event["content_block"]["type"]
        assert event["index"] == place
        if event["type"] == "content_block_delta":
            fitting = {"text": "text_delta", "tool_use": "input_json_delta"}
            assert event["delta"]["type"] in (fitting.get(current or "", "thinking_delta"), "signature_delta")
        if event["type"] == "content_block_stop":
            current, place = None, place + 1
    assert current is None


def test_an_error_inside_a_stream() -> None:
    reader = StreamReader()
    events = [reader.read_event(data) for data in data_of("anthropic-overloaded")]
    assert [event.failed for event in events] == [False, False, False, True]
    assert [event.chunk.usage for event in events] == [Usage(25, 1), None, None, None]
    assert "".join(event.chunk.text for event in events) == "Hello"


def test_what_is_no_event_is_passed_on() -> None:
    for data in (
        b"{",
        b"[]",
        b'{"type":7}',
        b'{"type":"content_block_delta","index":"x"}',
        b'{"type":"new"}',
        b"\xff",
    ):
        event = StreamReader().read_event(data)
        assert (event.chunk, event.failed, event.ended) == (Chunk(raw=data), False, False)


def test_bytes_of_the_callers_own_dialect_are_written_as_they_came() -> None:
    for name in ("anthropic-thinking-tools", "openai-two-answers"):
        writer = writer_in(dialect_of(name))
        written = b"".join(writer.event(Chunk(raw=data)) for data in data_of(name) if data != b"[DONE]")
        assert list(EventReader().feed(written + writer.end())) == data_of(name)
        whole = writer_in(dialect_of(name)).whole([Chunk(text="x", raw=b'{"a": 1}')])
        assert whole == b'{"a": 1}'


def test_two_whole_answers_in_one_body() -> None:
    body = {
        "choices": [
            {"index": 1, "message": {"content": "B"}, "finish_reason": "length"},
            {"index": 0, "message": {"content": "A"}, "finish_reason": "stop"},
        ]
    }
    chunk = read_completion(json.dumps(body).encode())
    assert chunk is not None
    assert [(each.text, each.finish_reason) for each in (chunk, *chunk.others)] == [("A", "stop"), ("B", "length")]
    again = read_completion(writer_in("openai").whole([replace(chunk, raw=None)]))
    assert again is not None and [each.text for each in (again, *again.others)] == ["A", "B"]
