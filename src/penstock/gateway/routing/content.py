"""What a chunk shows of an answer: once content was given out, nothing is asked a second time."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from penstock.exchange import Chunk

EMPTY = frozenset({b"", b"null", b'""', b"[]", b"{}"})
HARMLESS = frozenset({"role", "type"})


class Opening(Struct):
    """A choice in an event of OpenAI's dialect; one that opens an answer has a role and nothing else."""

    delta: dict[str, Raw] = {}
    text: Raw = Raw()
    message: Raw = Raw()


class OpeningEvent(Struct):
    choices: list[Opening] | None = None
    type: str = ""


OPENING = msgspec.json.Decoder(OpeningEvent)
STARTS = frozenset({"message_start", "ping", "response.created", "response.in_progress"})
"""Events of the other dialects that say only that an answer begins."""


def shows(chunk: Chunk) -> bool:
    """Whether a chunk that was read carries some of the answer."""
    return bool(
        chunk.text
        or chunk.reasoning
        or chunk.tool_calls
        or chunk.finish_reason is not None
        or chunk.embeddings
        or chunk.ranking
        or chunk.grounding is not None
        or chunk.logprobs
        or chunk.media_type is not None
        or chunk.thinking_blocks
    )


def is_blank(chunk: Chunk) -> bool:
    """Whether nothing of an answer is in a chunk, not even in bytes that were passed on and not understood."""
    if shows(chunk):
        return False
    return chunk.raw is None or is_opening(chunk.raw)


def is_opening(data: bytes) -> bool:
    """Whether an event of a stream says only that an answer begins."""
    try:
        event = OPENING.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    if event.choices is None:
        return event.type in STARTS
    return all(opens(choice) for choice in event.choices)


def opens(choice: Opening) -> bool:
    """Whether a choice has nothing but a role; `shows` has seen to what is read of it."""
    if bytes(choice.text) not in EMPTY or bytes(choice.message) not in EMPTY:
        return False
    return all(name in HARMLESS or bytes(value) in EMPTY for name, value in choice.delta.items())
