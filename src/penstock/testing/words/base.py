"""What a simulated model was asked and says, apart from how a vendor words it."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import msgspec
from msgspec import Struct

from penstock.testing.answers import Received, Reply, Step, Stream

Trouble = Literal[
    "rate_limit", "overloaded", "server_error", "context_length", "auth", "bad_request", "content_filter"
]
Malformed = Literal["bad_json", "half_utf8", "oversize"]
OVERSIZE = 17 << 20
"""Bytes of an event that is larger than anybody should take."""

MODEL = "simulated-model"
CAFE = "café"


class ToolUse(Struct, frozen=True):
    name: str
    arguments: str


class Asked(Struct, frozen=True, kw_only=True):
    """A request as far as the simulator understands it. `forced` is the tool that must be called, if any."""

    operation: Literal["chat", "complete", "embed", "count"] = "chat"
    texts: tuple[str, ...] = ()
    stream: bool = False
    wants_usage: bool = True
    forced: str | None = None
    base64: bool = False


class Said(Struct, frozen=True, kw_only=True):
    """What the model says. `usage` is (input, output); `None` where it is missing, or where a number is."""

    text: str = ""
    reasoning: str = ""
    call: ToolUse | None = None
    finish: Literal["stop", "length", "content_filter", "tool_calls"] = "stop"
    usage: tuple[int | None, int | None] | None = (0, 0)

    @property
    def words(self) -> list[str]:
        """The text in the pieces in which it is streamed."""
        words = self.text.split(" ")
        return [f"{word} " for word in words[:-1]] + words[-1:]


class Words(Protocol):
    """One vendor's way to say things."""

    def asked(self, received: Received) -> Asked: ...

    def whole(self, said: Said) -> Reply: ...

    def stream(self, said: Said, asked: Asked) -> Stream: ...

    def vectors(self, asked: Asked) -> Reply: ...

    def counted(self, asked: Asked) -> Reply: ...

    def error(self, trouble: Trouble) -> Reply: ...

    def error_step(self, trouble: Trouble) -> Step:
        """The same inside a stream."""
        ...

    def malformed(self, kind: Malformed) -> Step: ...


def encode(value: Any) -> bytes:
    return msgspec.json.encode(value)


def text_of(content: Any) -> str:
    """The text of a message's content in any of the shapes that vendors share."""
    if isinstance(content, str):
        return content
    texts = [part.get("text") for part in content or () if isinstance(part, dict)]
    return " ".join(text for text in texts if isinstance(text, str))


def number_of_words(texts: tuple[str, ...]) -> int:
    return sum(len(text.split()) for text in texts)


def total_of(usage: tuple[int | None, int | None]) -> int | None:
    prompt, output = usage
    return None if prompt is None or output is None else prompt + output


def vector_of(text: str) -> list[float]:
    """The same for the same text; of length 1."""
    return [1.0, 0.0] if len(text) % 2 == 0 else [0.0, 1.0]


def malformed_data(kind: Malformed, event: bytes) -> bytes:
    """The data of an event that says `CAFE`, so that it says nothing."""
    if kind == "bad_json":
        return event[: len(event) // 2]
    wrong = b"caf\xc3" if kind == "half_utf8" else b"x" * OVERSIZE
    return event.replace(CAFE.encode(), wrong)
