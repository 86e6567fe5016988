"""What an exchange becomes in the Gemini dialect."""

import json
from typing import Any

import pytest

from penstock.errors import InvalidRequest, UnsupportedFeature
from penstock.exchange import (
    Constraint,
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
from penstock.models.dialects.gemini.dialect import GeminiDialect
from penstock.models.dialects.gemini.requests import UNSIGNED

NEW, OLD = "gemini-3-flash", "gemini-2.5-flash"
CALL = ToolCall("call_1", FunctionCall("weather", '{"city":"Bern"}'))


def body(*messages: Message, model: str = NEW, **parameters: Any) -> Any:
    exchange = Exchange(
        id="r", trace_id="t", messages=messages or (Message("user", "Hi"),), parameters=Parameters(**parameters)
    )
    return json.loads(GeminiDialect(model).request(exchange).body)


def test_paths() -> None:
    exchange = Exchange(id="r", trace_id="t", messages=(Message("user", "Hi"),))
    dialect = GeminiDialect("tuned/my model")
    assert dialect.request(exchange).path == "/models/tuned%2Fmy%20model:generateContent"
    streamed = dialect.request(exchange.replace(stream=True))
    assert streamed.path == "/models/tuned%2Fmy%20model:streamGenerateContent?alt=sse"
    with pytest.raises(UnsupportedFeature):
        dialect.request(exchange.replace(operation="speech"))


def test_roles() -> None:
    sent = body(Message("system", "Be brief."), Message("developer", "Be kind."), Message("user", "Hi"))
    assert sent["systemInstruction"] == {"parts": [{"text": "Be brief."}, {"text": "Be kind."}]}
    assert sent["contents"] == [{"role": "user", "parts": [{"text": "Hi"}]}]


def test_parts() -> None:
    content = [
        Part("image_url", image_url=ImageUrl("data:image/png;base64,AAAA")),
        Part("image_url", image_url=ImageUrl("https://example.com/a.jpg?x=1")),
        Part("input_audio", input_audio=InputAudio("BBBB", "mp3")),
        Part("file", file=FileData(file_data="data:application/pdf;base64,CCCC", filename="a.pdf")),
        Part("image_url", image_url=ImageUrl("data:text/plain,caf%C3%A9")),
        Part("image_url", image_url=ImageUrl("http://[no address")),
    ]
    assert body(Message("user", content))["contents"][0]["parts"] == [
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://example.com/a.jpg?x=1"}},
        {"inlineData": {"mimeType": "audio/mpeg", "data": "BBBB"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "CCCC"}},
        {"inlineData": {"mimeType": "text/plain", "data": "Y2Fmw6k="}},
        {"fileData": {"fileUri": "http://[no address"}},
    ]


def test_calls_made_together_are_answered_together_and_only_the_first_is_signed() -> None:
    other = ToolCall("call_2", FunctionCall("time", ""))
    history = (
        Message("user", "?"),
        Message("assistant", tool_calls=[CALL, other]),
        Message("tool", '{"degrees": 17}', tool_call_id="call_1"),
        Message("tool", "noon", tool_call_id="call_2", is_error=True),
        Message("user", "So?"),
    )
    sent = body(*history)["contents"]
    assert [each["role"] for each in sent] == ["user", "model", "user", "user"]
    assert sent[1]["parts"] == [
        {
            "functionCall": {"name": "weather", "args": {"city": "Bern"}, "id": "call_1"},
            "thoughtSignature": UNSIGNED,
        },
        {"functionCall": {"name": "time", "args": {}, "id": "call_2"}},
    ]
    assert sent[2]["parts"] == [
        {"functionResponse": {"name": "weather", "response": {"degrees": 17}, "id": "call_1"}},
        {"functionResponse": {"name": "time", "response": {"error": "noon"}, "id": "call_2"}},
    ]
    assert "thoughtSignature" not in body(*history, model=OLD)["contents"][1]["parts"][0]


def test_its_own_signatures_come_back_and_those_of_others_do_not() -> None:
    for signature, expected in (("gemini:abc", "abc"), ("claude", UNSIGNED)):
        blocks = [ThinkingBlock("thinking", "…", signature)]
        sent = body(Message("user", "?"), Message("assistant", tool_calls=[CALL], thinking_blocks=blocks))
        assert sent["contents"][1]["parts"][0]["thoughtSignature"] == expected
    blocks = [ThinkingBlock("thinking", "…", "gemini:abc")]
    sent = body(Message("user", "?"), Message("assistant", "Yes", thinking_blocks=blocks))
    assert sent["contents"][1]["parts"] == [{"text": "Yes", "thoughtSignature": "abc"}]


def test_a_result_of_no_call() -> None:
    with pytest.raises(InvalidRequest, match="No call before it has the id 'call_9'"):
        body(Message("user", "?"), Message("tool", "17", tool_call_id="call_9"))


TOOLS = (Tool(name="weather", parameters='{"type":"object"}'), Tool(name="time"))


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, None),
        ("auto", None),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ("tool:time", {"mode": "ANY", "allowedFunctionNames": ["time"]}),
    ],
)
def test_tool_choice(choice: str | None, expected: Any) -> None:
    sent = body(tools=TOOLS, tool_choice=choice)
    declared = sent["tools"][0]["functionDeclarations"]
    assert declared[0] == {"name": "weather", "description": "", "parametersJsonSchema": {"type": "object"}}
    assert sent.get("toolConfig") == ({"functionCallingConfig": expected} if expected else None)


def test_tools_that_are_allowed_and_strict() -> None:
    sent = body(tools=TOOLS, allowed_tools=("time",))
    assert [each["name"] for each in sent["tools"][0]["functionDeclarations"]] == ["time"]
    strict = body(tools=(Tool(name="time", strict=True),))
    assert strict["toolConfig"]["functionCallingConfig"] == {"mode": "VALIDATED"}


def test_parameters() -> None:
    sent = body(
        max_tokens=9,
        temperature=0.0,
        top_p=0.9,
        top_k=40,
        seed=3,
        stop=("END",),
        n=2,
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        logprobs=True,
        top_logprobs=2,
        constraint=Constraint("json_schema", '{"type":"object"}'),
    )
    assert sent["generationConfig"] == {
        "maxOutputTokens": 9,
        "temperature": 0.0,
        "topP": 0.9,
        "topK": 40,
        "seed": 3,
        "stopSequences": ["END"],
        "candidateCount": 2,
        "presencePenalty": 0.5,
        "frequencyPenalty": -0.5,
        "responseLogprobs": True,
        "logprobs": 2,
        "responseMimeType": "application/json",
    }


@pytest.mark.parametrize(
    ("model", "asked", "expected"),
    [
        (NEW, {"reasoning_effort": "high"}, {"includeThoughts": True, "thinkingLevel": "high"}),
        (NEW, {"reasoning_effort": "max"}, {"includeThoughts": True, "thinkingLevel": "high"}),
        (NEW, {"reasoning_effort": "none"}, {"includeThoughts": False, "thinkingLevel": "minimal"}),
        (OLD, {"reasoning_effort": "medium"}, {"includeThoughts": True, "thinkingBudget": 8192}),
        (OLD, {"reasoning_effort": "none"}, {"includeThoughts": False, "thinkingBudget": 0}),
        (NEW, {"reasoning_tokens": 5000}, {"includeThoughts": True, "thinkingBudget": 5000}),
    ],
)
def test_reasoning(model: str, asked: dict[str, Any], expected: dict[str, Any]) -> None:
    assert body(model=model, **asked)["generationConfig"]["thinkingConfig"] == expected


def test_several_answers_and_log_probabilities_are_read() -> None:
    candidate = {
        "content": {"parts": [{"text": "Yes"}]},
        "finishReason": "STOP",
        "logprobsResult": {
            "chosenCandidates": [{"token": "Yes", "logProbability": -0.5}],
            "topCandidates": [
                {"candidates": [{"token": "Yes", "logProbability": -0.5}, {"token": "No", "logProbability": -1}]}
            ],
        },
    }
    data = json.dumps({"candidates": [candidate, candidate | {"index": 1, "finishReason": "MAX_TOKENS"}]}).encode()
    chunk = GeminiDialect(NEW).whole(Exchange(id="r", trace_id="t"), data, "application/json")
    assert chunk is not None
    assert (chunk.text, chunk.finish_reason, chunk.others[0].finish_reason) == ("Yes", "stop", "length")
    assert chunk.others[0].index == 1
    assert (chunk.logprobs[0].logprob, chunk.logprobs[0].top) == (-0.5, (("Yes", -0.5), ("No", -1.0)))
