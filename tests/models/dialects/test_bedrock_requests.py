"""What an exchange becomes in the dialect of Bedrock's Converse."""

import json
from typing import Any

import pytest

from penstock.errors import UnsupportedFeature
from penstock.exchange import (
    CacheControl,
    Exchange,
    FileData,
    FunctionCall,
    ImageUrl,
    InputAudio,
    Message,
    Parameters,
    Part,
    ThinkingBlock,
    Tool,
    ToolCall,
)
from penstock.models.dialects.bedrock.dialect import BedrockDialect

CLAUDE = "eu.anthropic.claude-haiku-4-5-20251001-v1:0"
NOVA = "amazon.nova-2-lite-v1:0"
PNG = "data:image/png;base64,AAAA"


def body(*messages: Message, model: str = CLAUDE, **parameters: Any) -> Any:
    exchange = Exchange(
        id="r", trace_id="t", messages=messages or (Message("user", "Hi"),), parameters=Parameters(**parameters)
    )
    return json.loads(BedrockDialect(model).request(exchange).body)


def test_paths_are_percent_encoded() -> None:
    arn = "arn:aws:bedrock:eu-central-1:1:inference-profile/x"
    exchange = Exchange(id="r", trace_id="t", messages=(Message("user", "Hi"),))
    sent = BedrockDialect(arn).request(exchange.replace(stream=True))
    assert sent.path == "/model/arn%3Aaws%3Abedrock%3Aeu-central-1%3A1%3Ainference-profile%2Fx/converse-stream"


def test_turns_alternate_and_empty_ones_are_left_out() -> None:
    call = ToolCall("t1", FunctionCall("weather", '{"city":"Bern"}'))
    sent = body(
        Message("system", "Be brief."),
        Message("user", "One"),
        Message("user", "  "),
        Message("user", "Two"),
        Message("assistant", "", tool_calls=[call]),
        Message("tool", "17", tool_call_id="t1"),
        Message("tool", "broken", tool_call_id="t2", is_error=True),
        Message("user", "So?"),
    )
    assert sent["system"] == [{"text": "Be brief."}]
    assert [each["role"] for each in sent["messages"]] == ["user", "assistant", "user"]
    assert sent["messages"][0]["content"] == [{"text": "One"}, {"text": "Two"}]
    assert sent["messages"][1]["content"] == [
        {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Bern"}}}
    ]
    assert sent["messages"][2]["content"] == [
        {"toolResult": {"toolUseId": "t1", "content": [{"text": "17"}]}},
        {"toolResult": {"toolUseId": "t2", "content": [{"text": "broken"}], "status": "error"}},
        {"text": "So?"},
    ]


def test_parts() -> None:
    content = [
        Part("text", "See", cache_control=CacheControl(ttl="1h")),
        Part("image_url", image_url=ImageUrl(PNG)),
        Part("input_audio", input_audio=InputAudio("BBBB", "wav")),
        Part("file", file=FileData(file_data="data:application/pdf;base64,CCCC", filename="über/§1.pdf")),
    ]
    assert body(Message("user", content))["messages"][0]["content"] == [
        {"text": "See"},
        {"cachePoint": {"type": "default", "ttl": "1h"}},
        {"image": {"format": "png", "source": {"bytes": "AAAA"}}},
        {"audio": {"format": "wav", "source": {"bytes": "BBBB"}}},
        {"document": {"name": "ber 1 pdf", "format": "pdf", "source": {"bytes": "CCCC"}}},
    ]
    image = Message("tool", [Part("image_url", image_url=ImageUrl(PNG))], tool_call_id="t1")
    result = body(Message("user", "?"), image)["messages"][0]["content"][1]["toolResult"]
    assert result["content"] == [{"image": {"format": "png", "source": {"bytes": "AAAA"}}}]


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (Part("image_url", image_url=ImageUrl("https://example.com/a.png")), "images by their address"),
        (Part("image_url", image_url=ImageUrl("data:image/tiff;base64,AAAA")), "images of type 'image/tiff'"),
        (Part("file", file=FileData(file_data="data:text/x-python,1")), "documents of type 'text/x-python'"),
        (Part("file", file=FileData(file_id="file-1")), "documents by their address"),
    ],
)
def test_nothing_is_fetched(part: Part, reason: str) -> None:
    with pytest.raises(UnsupportedFeature, match=reason):
        body(Message("user", [part]))


def test_thoughts_come_back_unless_they_are_of_another() -> None:
    blocks = [
        ThinkingBlock("thinking", "Hm", "sig"),
        ThinkingBlock("thinking", "Hm", "gemini:sig"),
        ThinkingBlock("redacted_thinking", data="AAAA"),
    ]
    sent = body(Message("user", "?"), Message("assistant", "Yes", thinking_blocks=blocks))
    assert sent["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "sig"}}},
        {"reasoningContent": {"redactedContent": "AAAA"}},
        {"text": "Yes"},
    ]


TOOLS = (
    Tool(name="weather", description="How it is", strict=True, cache_control=CacheControl()),
    Tool(name="time", parameters='{"type":"object"}'),
)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [(None, None), ("auto", None), ("required", {"any": {}}), ("tool:time", {"tool": {"name": "time"}})],
)
def test_tool_choice(choice: str | None, expected: Any) -> None:
    config = body(tools=TOOLS, tool_choice=choice)["toolConfig"]
    assert config["tools"] == [
        {
            "toolSpec": {
                "name": "weather",
                "inputSchema": {"json": {}},
                "description": "How it is",
                "strict": True,
            }
        },
        {"cachePoint": {"type": "default"}},
        {"toolSpec": {"name": "time", "inputSchema": {"json": {"type": "object"}}}},
    ]
    assert config.get("toolChoice") == expected


def test_without_tools_none_can_be_called() -> None:
    assert "toolConfig" not in body(tools=TOOLS, tool_choice="none")
    assert len(body(tools=TOOLS, allowed_tools=("time",))["toolConfig"]["tools"]) == 1


def test_parameters() -> None:
    sent = body(max_tokens=9, temperature=0.0, top_p=0.9, stop=("END",), top_k=40)
    assert sent["inferenceConfig"] == {"maxTokens": 9, "temperature": 0.0, "topP": 0.9, "stopSequences": ["END"]}
    assert sent["additionalModelRequestFields"] == {"top_k": 40}
    nova = body(model=NOVA, top_k=40)
    assert nova["additionalModelRequestFields"] == {"inferenceConfig": {"topK": 40}}
    for asked in ({"seed": 1}, {"n": 2}, {"logprobs": True}, {"frequency_penalty": 0.5}):
        with pytest.raises(UnsupportedFeature):
            body(**asked)
    with pytest.raises(UnsupportedFeature, match="top_k"):
        body(model="meta.llama3-3-70b-instruct-v1:0", top_k=40)


@pytest.mark.parametrize(
    ("model", "asked", "expected"),
    [
        (CLAUDE, {"reasoning_effort": "low"}, {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
        (CLAUDE, {"reasoning_tokens": 3000}, {"thinking": {"type": "enabled", "budget_tokens": 3000}}),
        (
            CLAUDE,
            {"reasoning_effort": "max", "max_tokens": 2000},
            {"thinking": {"type": "enabled", "budget_tokens": 1999}},
        ),
        (NOVA, {"reasoning_effort": "low"}, {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}),
        ("openai.gpt-oss-120b-1:0", {"reasoning_effort": "high"}, {"reasoning_effort": "high"}),
    ],
)
def test_reasoning(model: str, asked: dict[str, Any], expected: dict[str, Any]) -> None:
    assert body(model=model, **asked)["additionalModelRequestFields"] == expected


def test_reasoning_that_cannot_be() -> None:
    assert "additionalModelRequestFields" not in body(reasoning_effort="none")
    with pytest.raises(UnsupportedFeature, match="Leave at least 1024"):
        body(reasoning_effort="low", max_tokens=500)
    with pytest.raises(UnsupportedFeature, match="reasoning"):
        body(model="meta.llama3-3-70b-instruct-v1:0", reasoning_effort="low")
