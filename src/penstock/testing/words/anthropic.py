"""Answers of Anthropic's Messages API."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.testing.answers import Bytes, Received, Reply, Step, Stream
from penstock.testing.words.base import (
    CAFE,
    MODEL,
    Asked,
    Malformed,
    Said,
    Trouble,
    encode,
    malformed_data,
    number_of_words,
    text_of,
)
from penstock.testing.words.openai import halves

ERRORS: dict[Trouble, tuple[int, str, str]] = {
    "rate_limit": (
        429,
        "rate_limit_error",
        "This request would exceed your organization's rate limit of 50,000 input tokens per minute.",
    ),
    "overloaded": (529, "overloaded_error", "Overloaded"),
    "server_error": (500, "api_error", "Internal server error"),
    "context_length": (400, "invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum"),
    "auth": (401, "authentication_error", "invalid x-api-key"),
    "bad_request": (400, "invalid_request_error", "temperature: range: 0..1"),
    "content_filter": (400, "invalid_request_error", "Output blocked by content filtering policy"),
}
STOPS = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal", "tool_calls": "tool_use"}


class AnthropicWords:
    def asked(self, received: Received) -> Asked:
        body = received.json
        choice = body.get("tool_choice") or {}
        forced = choice.get("name")
        if choice.get("type") == "any" and body.get("tools"):
            forced = body["tools"][0]["name"]
        counts = "/count_tokens" in received.path
        return Asked(
            operation="count" if counts else "chat",
            texts=(text_of(body["messages"][-1]["content"]),),
            stream=bool(body.get("stream")),
            forced=forced,
        )

    def whole(self, said: Said) -> Reply:
        message = message_of(said) | {"content": blocks_of(said), "stop_reason": STOPS[said.finish]}
        if said.usage is not None:
            message["usage"] = {"input_tokens": said.usage[0], "output_tokens": said.usage[1]}
        return Reply(body=encode(message))

    def stream(self, said: Said, asked: Asked) -> Stream:
        start = message_of(said)
        if said.usage is not None:
            start["usage"] = {"input_tokens": said.usage[0], "output_tokens": 1 if said.usage[1] else said.usage[1]}
        steps: list[Step] = [event("message_start", message=start), event("ping")]
        for at, block in enumerate(blocks_of(said)):
            steps += block_events(at, block, said)
        delta = {"stop_reason": STOPS[said.finish], "stop_sequence": None}
        end: dict[str, Any] = {"delta": delta}
        if said.usage is not None:
            end["usage"] = {"output_tokens": said.usage[1]}
        steps += [event("message_delta", **end), event("message_stop")]
        return Stream(events=steps, done=False)

    def vectors(self, asked: Asked) -> Reply:
        return self.error("bad_request")

    def counted(self, asked: Asked) -> Reply:
        return Reply(body=encode({"input_tokens": number_of_words(asked.texts)}))

    def error(self, trouble: Trouble) -> Reply:
        return Reply(status=ERRORS[trouble][0], body=encode(error_of(trouble)))

    def error_step(self, trouble: Trouble) -> Step:
        return Bytes(b"event: error\ndata: " + encode(error_of(trouble)) + b"\n\n")

    def malformed(self, kind: Malformed) -> Step:
        delta = {"type": "text_delta", "text": CAFE}
        data = encode({"type": "content_block_delta", "index": 0, "delta": delta})
        return Bytes(b"event: content_block_delta\ndata: " + malformed_data(kind, data) + b"\n\n")


def message_of(said: Said) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def blocks_of(said: Said) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if said.reasoning:
        found.append({"type": "thinking", "thinking": said.reasoning, "signature": "c2lnbmF0dXJl"})
    if said.call is not None:
        arguments = msgspec.json.decode(said.call.arguments)
        found.append({"type": "tool_use", "id": "toolu_1", "name": said.call.name, "input": arguments})
    elif said.text:
        found.append({"type": "text", "text": said.text})
    return found


def block_events(at: int, block: dict[str, Any], said: Said) -> list[Step]:
    """The events of one block, which begins empty."""
    if block["type"] == "thinking":
        empty: dict[str, Any] = {"type": "thinking", "thinking": "", "signature": ""}
        deltas = [{"type": "thinking_delta", "thinking": block["thinking"]}]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
    elif block["type"] == "tool_use":
        assert said.call is not None
        empty = block | {"input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": part} for part in ["", *halves(said.call.arguments)]]
    else:
        empty = {"type": "text", "text": ""}
        deltas = [{"type": "text_delta", "text": word} for word in said.words]
    return [
        event("content_block_start", index=at, content_block=empty),
        *(event("content_block_delta", index=at, delta=delta) for delta in deltas),
        event("content_block_stop", index=at),
    ]


def event(kind: str, **fields: Any) -> Step:
    return Bytes(b"event: " + kind.encode() + b"\ndata: " + encode({"type": kind} | fields) + b"\n\n")


def error_of(trouble: Trouble) -> dict[str, Any]:
    _, kind, message = ERRORS[trouble]
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
