"""Answers of the Gemini API."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.testing.answers import Received, Reply, Step, Stream
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
    total_of,
    vector_of,
)

ERRORS: dict[Trouble, tuple[int, str, str]] = {
    "rate_limit": (
        429,
        "RESOURCE_EXHAUSTED",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    "overloaded": (503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    "server_error": (500, "INTERNAL", "An internal error has occurred. Please retry."),
    "context_length": (
        400,
        "INVALID_ARGUMENT",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    ),
    "auth": (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
    "bad_request": (400, "INVALID_ARGUMENT", "Invalid value at 'generation_config.temperature' (TYPE_FLOAT)"),
    "content_filter": (400, "INVALID_ARGUMENT", "The prompt was blocked."),
}
DETAILS: dict[Trouble, dict[str, Any]] = {
    "rate_limit": {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "31s"},
    "auth": {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "API_KEY_INVALID",
        "domain": "googleapis.com",
    },
}
STOPS = {"stop": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY", "tool_calls": "STOP"}


class GeminiWords:
    def asked(self, received: Received) -> Asked:
        body = received.json
        method = received.path.partition("?")[0].rpartition(":")[2]
        if method == "countTokens":
            body = body.get("generateContentRequest", body)
        if method == "batchEmbedContents":
            texts = [text_of(each["content"]["parts"]) for each in body["requests"]]
            return Asked(operation="embed", texts=tuple(texts))
        config = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
        forced = None
        if config.get("mode") == "ANY":
            names = config.get("allowedFunctionNames")
            forced = names[0] if names else body["tools"][0]["functionDeclarations"][0]["name"]
        return Asked(
            operation="count" if method == "countTokens" else "chat",
            texts=(text_of(body["contents"][-1]["parts"]),),
            stream=method == "streamGenerateContent",
            forced=forced,
        )

    def whole(self, said: Said) -> Reply:
        return Reply(body=answer(parts_of(said), said, said.finish))

    def stream(self, said: Said, asked: Asked) -> Stream:
        parts = parts_of(said)
        if said.call is None:
            parts = [part for part in parts if part.get("thought")] + [{"text": word} for word in said.words]
        events: list[Step] = [answer([part], said, None) for part in parts]
        events.append(answer([{"text": ""}], said, said.finish))
        return Stream(events=events, done=False)

    def vectors(self, asked: Asked) -> Reply:
        return Reply(body=encode({"embeddings": [{"values": vector_of(text)} for text in asked.texts]}))

    def counted(self, asked: Asked) -> Reply:
        tokens = number_of_words(asked.texts)
        details = [{"modality": "TEXT", "tokenCount": tokens}]
        return Reply(body=encode({"totalTokens": tokens, "promptTokensDetails": details}))

    def error(self, trouble: Trouble) -> Reply:
        return Reply(status=ERRORS[trouble][0], body=encode(error_of(trouble)))

    def error_step(self, trouble: Trouble) -> Step:
        return encode(error_of(trouble))

    def malformed(self, kind: Malformed) -> Step:
        return malformed_data(kind, answer([{"text": CAFE}], Said(), None))


def parts_of(said: Said) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    if said.reasoning:
        parts.append({"text": said.reasoning, "thought": True})
    if said.call is not None:
        arguments = msgspec.json.decode(said.call.arguments)
        call = {"functionCall": {"name": said.call.name, "args": arguments}, "thoughtSignature": "c2lnbmF0dXJl"}
        parts.append(call)
    elif said.text:
        parts.append({"text": said.text})
    return parts


def answer(parts: list[dict[str, Any]], said: Said, finish: str | None) -> bytes:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    body: dict[str, Any] = {"candidates": [candidate], "modelVersion": MODEL, "responseId": "answer1"}
    if finish is not None:
        candidate["finishReason"] = STOPS[finish]
    if said.usage is not None:
        prompt, output = said.usage
        counts: dict[str, Any] = {"promptTokenCount": prompt}
        if finish is not None:
            counts["candidatesTokenCount"] = output
            counts["totalTokenCount"] = total_of(said.usage)
        body["usageMetadata"] = counts
    return encode(body)


def error_of(trouble: Trouble) -> dict[str, Any]:
    status, name, message = ERRORS[trouble]
    error: dict[str, Any] = {"code": status, "message": message, "status": name}
    if trouble in DETAILS:
        error["details"] = [DETAILS[trouble]]
    return {"error": error}
