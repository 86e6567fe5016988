"""How many tokens of the encoder a range of a text has, found once for the whole text.

A text is taken apart once; each range then costs two bisections, however often a chunker asks.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Protocol

TOKEN = re.compile(
    r"[a-zA-Z]{1,6}"  # a common English word, or a piece of a long one
    r"|\d{1,3}"
    r"|[^\W\da-zA-Z]"  # other scripts are taken apart to characters
    r"|[^\w\s]|_"
)


class Tokenizer(Protocol):
    """Finds tokens. The text of a token is never looked at, only where its last character is."""

    def lasts(self, text: str) -> Iterable[int]:
        """The position of the last character of each token, ascending; the same one several times where a
        character takes several tokens."""
        ...


class Estimate:
    """Tokens of no encoder in particular; about as many as most make of English, and too few of German."""

    def lasts(self, text: str) -> Iterator[int]:
        return (match.end() - 1 for match in TOKEN.finditer(text))


class MeasuredText:
    """A text whose tokens are counted."""

    def __init__(self, text: str, tokenizer: Tokenizer) -> None:
        self.text = text
        self._lasts = array("I", tokenizer.lasts(text))

    def tokens(self, start: int, end: int) -> int:
        """The tokens that end within characters `start` to `end`."""
        return bisect_left(self._lasts, end) - bisect_left(self._lasts, start)

    def after(self, start: int, tokens: int) -> int:
        """The character behind so many tokens from `start` on; at most the end of the text."""
        at = bisect_left(self._lasts, start) + tokens - 1
        return self._lasts[at] + 1 if at < len(self._lasts) else len(self.text)


def estimate_tokens(text: str) -> int:
    """About how many tokens the encoder makes of a text."""
    return sum(1 for _ in TOKEN.finditer(text))
