"""What counts as content of an answer, also in bytes that were passed on."""

import pytest

from penstock.exchange import Chunk, FunctionCall, ToolCall, Usage
from penstock.gateway.routing.content import is_blank

BLANK = [
    b'{"id":"a","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}]}',
    b'{"choices":[],"prompt_filter_results":[{"prompt_index":0}]}',
    b'{"choices":[{"index":0,"delta":{"role":"assistant"}}]}',
    b'{"type":"message_start","message":{"id":"m","content":[]}}',
    b'{"type": "ping"}',
    b'{"type":"response.created","response":{}}',
]
CONTENT = [
    b'{"choices":[{"index":0,"delta":{"content":"Hi"}}]}',
    b'{"choices":[{"index":0,"delta":{"refusal":"No."}}]}',
    b'{"choices":[{"index":0,"delta":{"audio":{"data":"AAAA"}}}]}',
    b'{"choices":[{"index":1,"text":"Hi"}]}',
    b'{"choices":[{"message":{"content":"Hi"}}]}',
    b'{"type":"content_block_delta","delta":{"text":"Hi"}}',
    b'{"something":"new"}',
    b"not JSON",
]


@pytest.mark.parametrize("raw", BLANK)
def test_an_opening_is_blank(raw: bytes) -> None:
    assert is_blank(Chunk(raw=raw))


@pytest.mark.parametrize("raw", CONTENT)
def test_what_is_not_understood_counts_as_content(raw: bytes) -> None:
    assert not is_blank(Chunk(raw=raw))


def test_what_was_read_decides_first() -> None:
    assert is_blank(Chunk(usage=Usage(1)))
    for chunk in (
        Chunk(text="a"),
        Chunk(reasoning="a"),
        Chunk(finish_reason="stop"),
        Chunk(embeddings=(b"",)),
        Chunk(tool_calls=(ToolCall(function=FunctionCall("f")),)),
        Chunk(media_type="audio/mpeg", raw=b""),
    ):
        assert not is_blank(chunk)
