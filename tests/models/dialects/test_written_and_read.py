"""What a dialect can say of an exchange, it says so that reading it gives the same exchange."""

import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from penstock.exchange import (
    CacheControl,
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
from penstock.models.dialects.anthropic import requests as anthropic
from penstock.models.dialects.anthropic.writing import Wording as AnthropicWording
from penstock.models.dialects.openai import requests as openai
from penstock.models.dialects.openai.writing import ANY_OBJECT

text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
name = st.text("abcXYZ019_-", min_size=1, max_size=10)
maybe_text = st.none() | text
object_text = st.dictionaries(text, st.none() | st.booleans() | st.integers(-9, 9) | text, max_size=3).map(
    json.dumps
)
schema_text = st.sampled_from(['{"type":"string"}', '{"type":"object","properties":{"ä":{"type":"number"}}}'])
encoded = st.binary(max_size=9).map(lambda data: base64.b64encode(data).decode())
share = st.floats(0, 1)
hint = st.none() | st.builds(CacheControl, ttl=st.sampled_from([None, "5m", "1h"]))
number = st.integers(1, 100_000)


def sometimes(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


image_url = st.builds("data:image/png;base64,{}".format, encoded) | st.just("https://example.org/a.png")
documents = st.one_of(
    st.builds(FileData, file_data=encoded.map("data:application/pdf;base64,{}".format), filename=maybe_text),
    st.builds(
        FileData,
        file_data=text.map(lambda it: f"data:text/plain;base64,{base64.b64encode(it.encode()).decode()}"),
        filename=maybe_text,
    ),
    st.builds(FileData, file_id=name, filename=maybe_text),
)


class InOpenAI:
    parts = st.one_of(
        st.builds(Part, st.just("text"), text=text),
        st.builds(
            Part,
            st.just("image_url"),
            image_url=st.builds(ImageUrl, image_url, st.sampled_from([None, "low", "auto"])),
        ),
        st.builds(Part, st.just("input_audio"), input_audio=st.builds(InputAudio, encoded, st.just("wav"))),
        st.builds(Part, st.just("file"), file=documents),
    )
    content = text | st.lists(parts, min_size=1, max_size=3)
    calls = st.lists(st.builds(ToolCall, name, st.builds(FunctionCall, name, maybe_text.map(lambda it: it or ""))))
    messages = st.one_of(
        st.builds(Message, st.sampled_from(["system", "developer", "user"]), content, name=maybe_text),
        st.builds(
            Message,
            st.just("assistant"),
            sometimes(content),
            tool_calls=calls.map(lambda found: found or None),
            reasoning_content=maybe_text,
        ),
        st.builds(Message, st.just("tool"), content, tool_call_id=name),
    )
    tools = st.builds(
        Tool,
        name=name,
        description=maybe_text,
        parameters=st.just("{}") | schema_text,
        strict=sometimes(st.booleans()),
    )
    constraints = st.just(ANY_OBJECT) | st.builds(
        Constraint, st.just("json_schema"), schema_text, name, maybe_text, st.booleans()
    )

    @staticmethod
    @st.composite
    def parameters(draw: st.DrawFn) -> Parameters:
        tools = tuple(draw(st.lists(InOpenAI.tools, max_size=2)))
        logprobs = draw(st.booleans())
        allowed = tuple(draw(st.lists(name, max_size=2)))
        choices = st.sampled_from(["auto", "required"]) if allowed else st.none() | forced
        return Parameters(
            max_tokens=draw(sometimes(number)),
            temperature=draw(sometimes(st.floats(0, 2))),
            top_p=draw(sometimes(share)),
            top_k=draw(sometimes(number)),
            seed=draw(sometimes(number)),
            stop=tuple(draw(st.lists(text, max_size=3))),
            n=draw(st.integers(1, 4)),
            logprobs=logprobs,
            top_logprobs=draw(sometimes(st.integers(0, 20))) if logprobs else None,
            frequency_penalty=draw(sometimes(st.floats(-2, 2))),
            presence_penalty=draw(sometimes(st.floats(-2, 2))),
            constraint=draw(sometimes(InOpenAI.constraints)),
            tools=tools,
            tool_choice=draw(choices),
            allowed_tools=allowed,
            parallel_tool_calls=draw(sometimes(st.booleans())) if tools else None,
            reasoning_effort=draw(sometimes(st.sampled_from(["none", "minimal", "low", "high", "max"]))),
        )


forced = st.sampled_from(["auto", "none", "required"]) | name.map("tool:{}".format)


class InAnthropic:
    parts = st.one_of(
        st.builds(Part, st.just("text"), text=text, cache_control=hint),
        st.builds(Part, st.just("image_url"), image_url=st.builds(ImageUrl, image_url), cache_control=hint),
        st.builds(
            Part,
            st.just("file"),
            file=documents
            | st.builds(FileData, file_url=st.just("https://example.org/a.pdf"), filename=maybe_text),
            cache_control=hint,
        ),
    )
    words = st.lists(st.builds(Part, st.just("text"), text=text, cache_control=hint), min_size=2, max_size=3)
    calls = st.lists(st.builds(ToolCall, name, st.builds(FunctionCall, name, object_text)), min_size=1, max_size=2)
    thoughts = st.one_of(
        st.builds(ThinkingBlock, st.just("thinking"), text, text),
        st.builds(ThinkingBlock, st.just("redacted_thinking"), data=text),
    )
    tools = st.builds(
        Tool,
        name=name,
        description=maybe_text,
        parameters=schema_text,
        strict=sometimes(st.booleans()),
        cache_control=hint,
    )

    @staticmethod
    @st.composite
    def answers(draw: st.DrawFn) -> Message:
        calls = draw(sometimes(InAnthropic.calls))
        thoughts = draw(sometimes(st.lists(InAnthropic.thoughts, min_size=1, max_size=2)))
        content = draw((st.none() | text | InAnthropic.words) if calls or thoughts else text | InAnthropic.words)
        thought = "".join(block.thinking or "" for block in thoughts or ())
        return Message(
            "assistant",
            content,
            tool_calls=calls,
            reasoning_content=thought or None,
            thinking_blocks=thoughts,
        )

    @staticmethod
    @st.composite
    def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
        messages = []
        if (system := draw(sometimes(text | InAnthropic.words))) is not None:
            messages.append(Message("system", system))
        several = st.lists(InAnthropic.parts, min_size=2, max_size=3)
        for kind in draw(st.lists(st.sampled_from(["user", "assistant", "tool"]), min_size=1, max_size=5)):
            if kind == "assistant":
                messages.append(draw(InAnthropic.answers()))
            elif kind == "user":
                messages.append(Message("user", draw(text | several)))
            else:
                failed = draw(st.sampled_from([None, True]))
                messages.append(Message("tool", draw(text | several), tool_call_id=draw(name), is_error=failed))
        return tuple(messages)

    @staticmethod
    @st.composite
    def parameters(draw: st.DrawFn) -> Parameters:
        tools = tuple(draw(st.lists(InAnthropic.tools, max_size=2)))
        choice = draw(st.none() | forced) if tools else None
        effort = draw(sometimes(st.sampled_from(["none", "low", "medium", "high", "xhigh", "max"])))
        return Parameters(
            max_tokens=draw(number),
            temperature=draw(sometimes(share)),
            top_p=draw(sometimes(share)),
            top_k=draw(sometimes(number)),
            stop=tuple(draw(st.lists(text, max_size=3))),
            constraint=draw(sometimes(st.builds(Constraint, st.just("json_schema"), schema_text))),
            tools=tools,
            tool_choice=choice,
            parallel_tool_calls=draw(sometimes(st.booleans())) if choice not in (None, "none") else None,
            reasoning_effort=effort,
            reasoning_tokens=None if effort == "none" else draw(sometimes(st.integers(1024, 9000))),
        )


def blank() -> Exchange:
    return Exchange(id="req_1", trace_id="0" * 32)


def said(exchange: Exchange) -> tuple[Any, ...]:
    return exchange.model, exchange.messages, exchange.parameters, exchange.stream, exchange.user


@given(
    st.lists(InOpenAI.messages, min_size=1, max_size=5).map(tuple), InOpenAI.parameters(), st.booleans(), maybe_text
)
def test_openai_chats(
    messages: tuple[Message, ...], parameters: Parameters, stream: bool, user: str | None
) -> None:
    asked = Exchange(
        id="", trace_id="", model="m", messages=messages, parameters=parameters, stream=stream, user=user
    )
    body = openai.written(asked, "m", openai.Wording(reasoning=True))
    read = openai.read_chat(body, blank())
    assert said(read) == said(asked)
    assert openai.written(read, "m", openai.Wording(reasoning=True)) == body


@given(st.text(max_size=9), st.booleans(), sometimes(st.integers(0, 5)), st.integers(1, 3), sometimes(share))
def test_openai_completions(
    prompt: str, stream: bool, logprobs: int | None, n: int, temperature: float | None
) -> None:
    parameters = Parameters(
        logprobs=logprobs is not None, top_logprobs=logprobs, n=n, temperature=temperature, stop=("END",)
    )
    asked = Exchange(
        id="", trace_id="", model="m", operation="complete", prompt=prompt, parameters=parameters, stream=stream
    )
    read = openai.read_completion(openai.written(asked, "m", openai.Wording()), blank())
    assert (read.prompt, said(read)) == (prompt, said(asked))


@given(InAnthropic.conversations(), InAnthropic.parameters(), st.booleans(), maybe_text)
def test_anthropic_messages(
    messages: tuple[Message, ...], parameters: Parameters, stream: bool, user: str | None
) -> None:
    asked = Exchange(
        id="", trace_id="", model="m", messages=messages, parameters=parameters, stream=stream, user=user
    )
    body = anthropic.written(asked, "m", AnthropicWording())
    read = anthropic.read_messages(body, blank())
    assert said(read) == said(asked)
    assert anthropic.written(read, "m", AnthropicWording()) == body


@given(InAnthropic.conversations(), InAnthropic.parameters())
def test_what_anthropic_callers_ask_openai_can_say_or_refuses(
    messages: tuple[Message, ...], parameters: Parameters
) -> None:
    """Text, tools and their results survive the way through the other dialect."""
    asked = Exchange(id="", trace_id="", model="m", messages=messages, parameters=parameters)
    came = anthropic.read_messages(anthropic.written(asked, "m", AnthropicWording()), blank())
    if any(part.file and part.file.file_url for message in messages for part in parts_of(message)):
        return
    read = openai.read_chat(openai.written(came, "m", openai.Wording()), blank())
    assert [(each.role, each.text, each.tool_calls, each.tool_call_id) for each in read.messages] == [
        (each.role, each.text, each.tool_calls, each.tool_call_id) for each in messages
    ]
    assert [(tool.name, tool.parameters) for tool in read.parameters.tools] == [
        (tool.name, tool.parameters) for tool in parameters.tools
    ]
    for same in ("max_tokens", "temperature", "top_p", "stop", "tool_choice", "parallel_tool_calls"):
        assert getattr(read.parameters, same) == getattr(parameters, same)


def parts_of(message: Message) -> list[Part]:
    return message.content if isinstance(message.content, list) else []
