"""Keeps text inside its turn: a special token that a user or a document writes must not end a message.

A chat template renders messages into one text, in which the tokenizer then finds the special tokens, whoever wrote
them. So those that stand in a message get a mark after their first character, and the rendered text is cut at the
marks: encoded by themselves, the parts are plain text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from penstock.errors import InvalidRequest

Turns = Sequence[tuple[str, str]]
"""Role and content of each message."""


class SpecialTokens:
    def __init__(self, texts: Sequence[str]) -> None:
        self._pattern = re.compile("|".join(re.escape(text) for text in texts)) if texts else None

    def mark(self, turns: Turns) -> tuple[list[dict[str, str]], str]:
        """The messages for the template, and the mark at which to cut what it renders."""
        mark = unused_character([text for turn in turns for text in turn])
        return [
            {"role": self._marked(role, mark), "content": self._marked(text, mark)} for role, text in turns
        ], mark

    def _marked(self, text: str, mark: str) -> str:
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda found: found.group()[0] + mark + found.group()[1:], text)


def unused_character(texts: Sequence[str]) -> str:
    """A character of the private use area that none of the texts has."""
    for code in range(0xE000, 0xF8FF):
        if not any(chr(code) in text for text in texts):
            return chr(code)
    raise InvalidRequest("the messages use every character of Unicode's private use area.", param="messages")
