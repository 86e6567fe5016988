"""Answers of Amazon Bedrock: Converse, its event streams, and embeddings by InvokeModel."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import msgspec

from penstock.models.dialects.bedrock.dialect import STREAM
from penstock.models.dialects.bedrock.frames import Frame, encoded
from penstock.testing.answers import Bytes, Received, Reply, Step, Stream
from penstock.testing.words.base import (
    CAFE,
    Asked,
    Malformed,
    Said,
    Trouble,
    encode,
    malformed_data,
    number_of_words,
    text_of,
    total_of,
    vector_of,
)
from penstock.testing.words.openai import halves

ERRORS: dict[Trouble, tuple[int, str, str]] = {
    "rate_limit": (
        429,
        "ThrottlingException",
        "Too many requests, please wait before trying again.",
    ),
    "overloaded": (503, "ServiceUnavailableException", "Bedrock is unable to process your request."),
    "server_error": (500, "InternalServerException", "The system encountered an unexpected error."),
    "context_length": (
        400,
        "ValidationException",
        "The model returned the following errors: Input is too long for requested model.",
    ),
    "auth": (403, "AccessDeniedException", "You don't have access to the model with the specified model ID."),
    "bad_request": (400, "ValidationException", "The provided model identifier is invalid."),
    "content_filter": (400, "ValidationException", "Content is blocked by a guardrail."),
}
STOPS = {"stop": "end_turn", "length": "max_tokens", "content_filter": "guardrail_intervened"}


class BedrockWords:
    def asked(self, received: Received) -> Asked:
        body = received.json
        method = received.path.partition("?")[0].rpartition("/")[2]
        if method == "count-tokens":
            body = body["input"]["converse"]
        if method == "invoke":
            texts = body["texts"] if "texts" in body else [body["inputText"]]
            return Asked(operation="embed", texts=tuple(texts), wants_usage="inputText" in body)
        config = body.get("toolConfig") or {}
        choice = config.get("toolChoice") or {}
        forced = choice["tool"]["name"] if "tool" in choice else None
        if "any" in choice:
            forced = config["tools"][0]["toolSpec"]["name"]
        return Asked(
            operation="count" if method == "count-tokens" else "chat",
            texts=(text_of(body["messages"][-1]["content"]),),
            stream=method == "converse-stream",
            forced=forced,
        )

    def whole(self, said: Said) -> Reply:
        message = {"role": "assistant", "content": blocks_of(said)}
        body: dict[str, Any] = {"metrics": {"latencyMs": 12}, "output": {"message": message}}
        body["stopReason"] = STOPS.get(said.finish, "tool_use")
        if said.usage is not None:
            body["usage"] = usage_of(said)
        return Reply(body=encode(body))

    def stream(self, said: Said, asked: Asked) -> Stream:
        steps = [event("messageStart", role="assistant")]
        for at, block in enumerate(blocks_of(said)):
            steps += block_events(at, block, said)
        steps.append(event("messageStop", stopReason=STOPS.get(said.finish, "tool_use")))
        metadata: dict[str, Any] = {"metrics": {"latencyMs": 12}}
        if said.usage is not None:
            metadata["usage"] = usage_of(said)
        return Stream(events=[*steps, event("metadata", **metadata)], done=False, media_type=STREAM)

    def vectors(self, asked: Asked) -> Reply:
        vectors = [vector_of(text) for text in asked.texts]
        if asked.wants_usage:
            tokens = number_of_words(asked.texts)
            return Reply(body=encode({"embedding": vectors[0], "inputTextTokenCount": tokens}))
        body = {"id": "1", "embeddings": {"float": vectors}, "response_type": "embeddings_by_type"}
        return Reply(body=encode(body))

    def counted(self, asked: Asked) -> Reply:
        return Reply(body=encode({"inputTokens": number_of_words(asked.texts)}))

    def error(self, trouble: Trouble) -> Reply:
        status, kind, message = ERRORS[trouble]
        return Reply(status=status, body=encode({"message": message}), headers={"x-amzn-errortype": kind})

    def error_step(self, trouble: Trouble) -> Step:
        _, kind, message = ERRORS[trouble]
        headers = {":exception-type": kind[:1].lower() + kind[1:], ":content-type": "application/json"}
        frame = Frame(headers | {":message-type": "exception"}, encode({"message": message}))
        return Bytes(encoded(frame))

    def malformed(self, kind: Malformed) -> Step:
        if kind == "oversize":
            prelude = struct.pack(">II", 64 << 20, 0)
            return Bytes(prelude + struct.pack(">I", zlib.crc32(prelude)))
        data = malformed_data(kind, encode({"contentBlockIndex": 0, "delta": {"text": CAFE}}))
        return Bytes(encoded(Frame(headers_of("contentBlockDelta"), data)))


def blocks_of(said: Said) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if said.reasoning:
        text = {"text": said.reasoning, "signature": "c2lnbmF0dXJl"}
        found.append({"reasoningContent": {"reasoningText": text}})
    if said.call is not None:
        arguments = msgspec.json.decode(said.call.arguments)
        found.append({"toolUse": {"toolUseId": "tooluse_1", "name": said.call.name, "input": arguments}})
    elif said.text:
        found.append({"text": said.text})
    return found


def block_events(at: int, block: dict[str, Any], said: Said) -> list[Step]:
    deltas: list[dict[str, Any]]
    start: list[Step] = []
    if "toolUse" in block:
        assert said.call is not None
        begun = {"toolUse": {"toolUseId": "tooluse_1", "name": said.call.name}}
        start = [event("contentBlockStart", contentBlockIndex=at, start=begun)]
        deltas = [{"toolUse": {"input": part}} for part in halves(said.call.arguments)]
    elif "reasoningContent" in block:
        text = block["reasoningContent"]["reasoningText"]
        deltas = [{"reasoningContent": {name: text[name]}} for name in ("text", "signature")]
    else:
        deltas = [{"text": word} for word in said.words]
    return [
        *start,
        *(event("contentBlockDelta", contentBlockIndex=at, delta=delta) for delta in deltas),
        event("contentBlockStop", contentBlockIndex=at),
    ]


def usage_of(said: Said) -> dict[str, int | None]:
    assert said.usage is not None
    prompt, output = said.usage
    return {"inputTokens": prompt, "outputTokens": output, "totalTokens": total_of(said.usage)}


def event(kind: str, **fields: Any) -> Step:
    return Bytes(encoded(Frame(headers_of(kind), encode(fields | {"p": "abcd"}))))


def headers_of(kind: str) -> dict[str, str]:
    return {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
