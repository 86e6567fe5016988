"""Answers of OpenAI and of the vendors that follow it."""

from __future__ import annotations

import base64
import struct
from typing import Any

from penstock.testing.answers import Received, Reply, Step, Stream
from penstock.testing.words.base import (
    CAFE,
    Asked,
    Malformed,
    Said,
    Trouble,
    encode,
    malformed_data,
    text_of,
    total_of,
    vector_of,
)

ERRORS: dict[Trouble, tuple[int, dict[str, Any]]] = {
    "rate_limit": (
        429,
        {
            "message": "Rate limit reached for simulated-model in organization org-0 on tokens per min (TPM): "
            "Limit 30000, Used 29500, Requested 900. Please try again in 800ms.",
            "type": "tokens",
            "param": None,
            "code": "rate_limit_exceeded",
        },
    ),
    "overloaded": (
        503,
        {
            "message": "The engine is currently overloaded, please try again later",
            "type": "service_unavailable",
            "param": None,
            "code": None,
        },
    ),
    "server_error": (
        500,
        {
            "message": "The server had an error while processing your request. Sorry about that!",
            "type": "server_error",
            "param": None,
            "code": None,
        },
    ),
    "context_length": (
        400,
        {
            "message": "This model's maximum context length is 128000 tokens. However, your messages resulted in "
            "130042 tokens. Please reduce the length of the messages.",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "context_length_exceeded",
        },
    ),
    "auth": (
        401,
        {
            "message": "Incorrect API key provided: sk-sim******0000. You can find your API key at "
            "https://platform.openai.com/account/api-keys.",
            "type": "invalid_request_error",
            "param": None,
            "code": "invalid_api_key",
        },
    ),
    "bad_request": (
        400,
        {
            "message": "Unsupported value: 'temperature' does not support 3 with this model.",
            "type": "invalid_request_error",
            "param": "temperature",
            "code": "unsupported_value",
        },
    ),
    "content_filter": (
        400,
        {
            "message": "The response was filtered due to the prompt triggering the content management policy.",
            "type": None,
            "param": "prompt",
            "code": "content_filter",
            "status": 400,
        },
    ),
}


CHUNK = "chat.completion.chunk"


class OpenAIWords:
    def asked(self, received: Received) -> Asked:
        body = received.json
        choice = body.get("tool_choice")
        forced = choice["function"]["name"] if isinstance(choice, dict) and "function" in choice else None
        if choice == "required" and body.get("tools"):
            forced = body["tools"][0]["function"]["name"]
        options = body.get("stream_options") or {}
        if "input" in body:
            texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
            encoding = body.get("encoding_format") == "base64"
            return Asked(operation="embed", texts=tuple(map(str, texts)), base64=encoding)
        is_chat = "messages" in body
        text = text_of(body["messages"][-1].get("content")) if is_chat else text_of(body["prompt"])
        return Asked(
            operation="chat" if is_chat else "complete",
            texts=(text,),
            stream=bool(body.get("stream")),
            wants_usage=bool(options.get("include_usage")),
            forced=forced,
        )

    def whole(self, said: Said) -> Reply:
        message: dict[str, Any] = {"role": "assistant", "content": said.text}
        if said.reasoning:
            message["reasoning_content"] = said.reasoning
        if said.call is not None:
            message["tool_calls"] = [tool_call(said)]
        choice = {"index": 0, "message": message, "text": said.text, "finish_reason": said.finish}
        body: dict[str, Any] = {"object": "chat.completion", "choices": [choice]}
        if said.usage is not None:
            body["usage"] = usage_of(said.usage)
        return Reply(body=answer(body))

    def stream(self, said: Said, asked: Asked) -> Stream:
        events: list[Step] = []
        if said.reasoning:
            events.append(piece({"reasoning_content": said.reasoning}))
        if said.call is not None:
            call = tool_call(said) | {"index": 0}
            begun = call | {"function": {"name": said.call.name, "arguments": ""}}
            events.append(piece({"tool_calls": [begun]}))
            events += [
                piece({"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
                for part in halves(said.call.arguments)
            ]
        else:
            events += [piece({"content": word}) for word in said.words]
        last = {"index": 0, "delta": {}, "text": "", "finish_reason": said.finish}
        events.append(answer({"object": CHUNK, "choices": [last]}))
        if asked.wants_usage and said.usage is not None:
            events.append(answer({"object": CHUNK, "choices": [], "usage": usage_of(said.usage)}))
        return Stream(events=events)

    def vectors(self, asked: Asked) -> Reply:
        vectors: list[Any] = [vector_of(text) for text in asked.texts]
        if asked.base64:
            vectors = [base64.b64encode(struct.pack("<2f", *vector)).decode() for vector in vectors]
        data = [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(vectors)]
        tokens = len(asked.texts)
        return Reply(
            body=answer(
                {"object": "list", "data": data, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
            )
        )

    def counted(self, asked: Asked) -> Reply:
        return self.error("bad_request")

    def error(self, trouble: Trouble) -> Reply:
        status, error = ERRORS[trouble]
        return Reply(status=status, body=encode({"error": error}))

    def error_step(self, trouble: Trouble) -> Step:
        return encode({"error": ERRORS[trouble][1]})

    def malformed(self, kind: Malformed) -> Step:
        return malformed_data(kind, piece({"content": CAFE}))


def answer(value: dict[str, Any]) -> bytes:
    return encode({"id": "answer-1", "created": 1, "model": "upstream-model", **value})


def piece(delta: dict[str, Any]) -> bytes:
    text = delta.get("content", "")
    return answer({"object": CHUNK, "choices": [{"index": 0, "delta": delta, "text": text, "finish_reason": None}]})


def tool_call(said: Said) -> dict[str, Any]:
    assert said.call is not None
    function = {"name": said.call.name, "arguments": said.call.arguments}
    return {"id": "call_1", "type": "function", "function": function}


def usage_of(usage: tuple[int | None, int | None]) -> dict[str, int | None]:
    prompt, completion = usage
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total_of(usage)}


def halves(text: str) -> list[str]:
    middle = len(text) // 2
    return [part for part in (text[:middle], text[middle:]) if part]
