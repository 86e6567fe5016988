"""What is read off an upstream's bytes."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.exchange import Usage
from penstock.models.dialects.openai.upstream import (
    MAX_EVENT,
    EventReader,
    error_message,
    is_error,
    read_body,
    read_event,
)

lines = st.binary(max_size=30).filter(lambda data: b"\n" not in data and b"\r" not in data)
events = st.lists(
    st.lists(lines.filter(lambda line: not line.startswith(b" ")), min_size=1, max_size=3), max_size=5
)


@given(events, st.sampled_from([b"\n", b"\r\n"]), st.booleans(), st.data())
def test_events_survive_any_cut(written: list[list[bytes]], end: bytes, noise: bool, data: st.DataObject) -> None:
    stream = b""
    for event in written:
        stream += b": comment" + end + b"event: message" + end if noise else b""
        stream += b"".join(b"data: " + line + end for line in event) + end
    reader = EventReader()
    found = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += reader.feed(stream[:size])
        stream = stream[size:]
    assert found == [b"\n".join(event) for event in written]


def test_data_without_a_space_and_an_event_without_data() -> None:
    assert list(EventReader().feed(b"data:a\n\nevent: ping\n\n\n\ndata: b\n\n")) == [b"a", b"b"]


def test_an_endless_event_is_not_kept() -> None:
    reader = EventReader()
    piece = b"data: " + b"x" * (1 << 20)
    try:
        for _ in range(2 * MAX_EVENT >> 20):
            assert list(reader.feed(piece)) == []
    except OverflowError:
        return
    raise AssertionError("it was kept")


def test_usage_is_read_from_any_event() -> None:
    usage = b'"usage":{"prompt_tokens":5,"completion_tokens":2}'
    last = read_event(b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],' + usage + b"}")
    assert (last.extra, last.chunk.usage, last.chunk.finish_reason) == (False, Usage(5, 2), "stop")
    extra = read_event(b'{"choices":[],' + usage + b"}")
    assert (extra.extra, extra.chunk.usage) == (True, Usage(5, 2))
    assert not read_event(b'{"choices":[],"usage":null}').extra


def test_choices_beyond_the_first_are_not_mixed_in() -> None:
    both = b'{"choices":[{"index":1,"delta":{"content":"B"}},{"index":0,"delta":{"content":"A"}}]}'
    assert read_event(both).chunk.text == "A"


def test_how_an_answer_ended() -> None:
    def ended(reason: str) -> str | None:
        body = read_body(b'{"choices":[{"message":{"content":"x"},"finish_reason":"%b"}]}' % reason.encode())
        return body.finish_reason if body else None

    known = {"stop": "stop", "length": "length", "tool_calls": "tool_calls", "function_call": "tool_calls"}
    assert {reason: ended(reason) for reason in known} == known
    assert ended("eos") == "stop"


def test_errors_in_their_many_shapes() -> None:
    assert error_message(b'{"error":{"message":"a"}}') == "a"
    assert error_message(b'{"error":"b"}') == "b"
    assert error_message(b'{"message":"c"}') == "c"
    assert error_message(b'{"detail":"d"}') == "d"
    assert error_message(b'{"detail":[{"loc":1}]}') == error_message(b"[1]") == error_message(b"<html>") == ""
    assert is_error(b'{"error":{"message":"a"}}')
    assert not is_error(b'{"error":"b"}')
    assert read_event(b'{"error":{"message":"a"}}').failed
    assert not read_event(b'{"error":null,"choices":[]}').failed
