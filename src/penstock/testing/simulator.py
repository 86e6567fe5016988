"""A simulated model behind every API that Penstock speaks: it repeats what it is told, or calls what it must."""

from __future__ import annotations

import msgspec

from penstock.testing.answers import Answer, Received, Reply
from penstock.testing.faults import Fault, apply, misreport
from penstock.testing.words.anthropic import AnthropicWords
from penstock.testing.words.base import Asked, Said, ToolUse, Words, number_of_words
from penstock.testing.words.bedrock import BedrockWords
from penstock.testing.words.gemini import GeminiWords
from penstock.testing.words.openai import OpenAIWords

OPENAI = OpenAIWords()
THINK = "think: "
"""What stands before this, up to a line break, the simulated model thinks before it speaks."""


def words_of(path: str) -> Words:
    """Whose API a path belongs to."""
    if path.startswith("/v1/messages"):
        return AnthropicWords()
    if path.startswith("/v1beta/"):
        return GeminiWords()
    if path.startswith("/model/"):
        return BedrockWords()
    return OPENAI


def simulate(received: Received, fault: Fault | None = None) -> Answer:
    """The answer to a request, with a fault if there is one.

    The model says the last message again. A tool that the request forces is called with the last message as its
    arguments, if that is a JSON object. A first line `think: …` is what it thinks.
    """
    words = words_of(received.path)
    asked = words.asked(received)
    answer: Answer
    if asked.operation == "embed":
        answer = words.vectors(asked)
    elif asked.operation == "count":
        answer = words.counted(asked)
    else:
        said = misreport(said_to(asked), fault)
        answer = words.stream(said, asked) if asked.stream else words.whole(said)
    return answer if fault is None else apply(fault, answer, words)


def said_to(asked: Asked) -> Said:
    text = " ".join(asked.texts)
    thought, words = "", number_of_words(asked.texts)
    if text.startswith(THINK):
        thought, _, text = text.removeprefix(THINK).partition("\n")
    if asked.forced is not None:
        arguments = text if is_object(text) else "{}"
        call = ToolUse(asked.forced, arguments)
        return Said(reasoning=thought, call=call, finish="tool_calls", usage=(words, 1))
    return Said(text=text, reasoning=thought, usage=(words, len(text.split(" "))))


def is_object(text: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except msgspec.DecodeError:
        return False


def unreadable(received: Received) -> Reply:
    """What a provider says to a request that it does not understand."""
    return words_of(received.path).error("bad_request")
