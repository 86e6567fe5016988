"""The prompt that answers are composed with: the app's own `prompts/answer.md`, or the one that ships."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from penstock.exchange import Message
from penstock.prompts.template import Prompt, load_prompt, parse_prompt

VARIABLES = ("question", "passages", "app", "features")
FACTS = "features"
"""Where an exchange's `options` keep what is known about who asks, on its way to the prompt."""
DELIMITER = re.compile(r"<(?=\s*+/?\s*+(?:passage|question|facts|turn)\b)", re.IGNORECASE)


NO_FACTS: Mapping[str, object] = MappingProxyType({})


class PassageValue(Struct, frozen=True, kw_only=True):
    """A passage as a prompt sees it; "" is what is not known of it.

    `heading` is its path joined by " > ". `location` says for people where it stands: "page 3", "slide 4", "sheet
    Fees, rows 2–40", "lines 10–24"; `page` is the number of a page alone, 1-based. `url` opens the document.
    """

    number: int
    document: str
    text: str
    title: str = ""
    heading: str = ""
    location: str = ""
    page: int | None = None
    url: str = ""


def answer_prompt(path: Path | None = None) -> Prompt:
    """The prompt in an app's file, or the built-in one where there is no such file.

    Raises `ConfigError` naming file and line.
    """
    return load_prompt(path, VARIABLES) if path is not None and path.is_file() else built_in("answer")


def quotes_prompt(path: Path | None = None) -> Prompt:
    """The prompt for answers in quotes alone, likewise."""
    return load_prompt(path, VARIABLES) if path is not None and path.is_file() else built_in("quotes")


def rewrite_prompt() -> Prompt:
    """The prompt with which a model words the next query."""
    return built_in("rewrite")


def phrasings_prompt() -> Prompt:
    """The prompt with which a model words a question anew."""
    return built_in("phrasings")


def followup_prompt() -> Prompt:
    """The prompt with which a model words a follow-up as a question that stands alone."""
    return built_in("followup", ("question", "turns"))


def followup_values(question: str, turns: Sequence[Message]) -> dict[str, object]:
    """What fills it; nothing that was said can close the delimiters around it."""
    return {
        "question": defused(question),
        "turns": [Message(turn.role, defused(turn.text)) for turn in turns],
    }


def built_in(name: str, variables: Sequence[str] = VARIABLES) -> Prompt:
    source = resources.files("penstock.prompts").joinpath(f"{name}.md").read_text("utf-8")
    return parse_prompt(source, name, f"penstock/prompts/{name}.md", variables)


def answer_values(
    app: str, question: str, passages: Sequence[PassageValue], features: Mapping[str, object] = NO_FACTS
) -> dict[str, object]:
    """What fills the answer prompt. No document, question or fact can close the delimiters around it."""
    return {
        "app": app,
        "features": {name: harmless(value) for name, value in features.items()},
        "question": defused(question),
        "passages": [
            replace(
                passage,
                document=attribute(passage.document),
                text=defused(passage.text),
                title=attribute(passage.title),
                heading=attribute(passage.heading),
                location=attribute(passage.location),
                url=attribute(passage.url),
            )
            for passage in passages
        ],
    }


def defused(text: str) -> str:
    """The text with what delimits passages, questions, facts and turns written so that it delimits nothing."""
    return DELIMITER.sub("‹", text)


def harmless(value: object) -> object:
    """A JSON value with all its texts defused."""
    if isinstance(value, str):
        return defused(value)
    if isinstance(value, Mapping):
        return {str(name): harmless(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [harmless(each) for each in value]
    return value


def attribute(text: str) -> str:
    """Text that stays within quotation marks on one line."""
    return " ".join(defused(text).replace('"', "'").split())
