"""What a model writes, held back only where a quotation or a mark is open.

Text outside of them passes at once. A quotation waits for its closing mark, at most `LONGEST_QUOTATION` characters
and never over the end of a line; a mark such as `[2]` for its bracket. So whoever reads sees no quotation that was
not looked up, and waits for no more than the quotation itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

LONGEST_QUOTATION = 800
LONGEST_MARK = 16
CLOSES = {'"': '"', "“": "”", "«": "»", "„": "“”", "「": "」", "『": "』"}
MARK_SO_FAR = re.compile(r"\[\s*\d{0,2}(?:\s*[,;]\s*\d{0,2})*\s*")
MARK = re.compile(r"\[\s*\d{1,2}(?:\s*[,;]\s*\d{1,2})*\s*\]")
BEFORE_QUOTATION = frozenset(" \t\n([{—–-:>*_")
"""What a straight mark opens after; behind anything else (5") it is no quotation."""


class Piece(Struct, frozen=True):
    """Text as the model wrote it. A "quotation" has its marks around it, a "mark" its brackets; an "open" one is
    the beginning of a quotation that never closed."""

    kind: Literal["text", "quotation", "mark", "open"]
    text: str

    @property
    def inside(self) -> str:
        """A quotation without its marks."""
        return self.text[1:] if self.kind == "open" else self.text[1:-1]


def marked(text: str) -> tuple[int, ...]:
    """The passages that the marks in a text name."""
    numbers = (int(number) for mark in MARK.findall(text) for number in re.findall(r"\d+", mark))
    return tuple(dict.fromkeys(numbers))


class QuotationGate:
    """Cuts a stream of text into pieces, all of which together are the text again."""

    def __init__(self) -> None:
        self._held = ""
        self._before = "\n"

    @property
    def held(self) -> int:
        """Characters that wait for the end of a quotation or a mark."""
        return len(self._held)

    def feed(self, text: str) -> Iterator[Piece]:
        """The pieces that are whole with this text."""
        self._held += text
        while self._held:
            at = self._opening()
            if at is None:
                yield self._pass("text", len(self._held))
                return
            if at:
                yield self._pass("text", at)
            piece = self._opened()
            if piece is None:
                return
            yield piece

    def end(self) -> Iterator[Piece]:
        """What is left when nothing more comes."""
        while self._held:
            if self._held[0] in CLOSES:
                yield self._pass("open", len(self._held))
            else:
                yield self._pass("text", 1)
                yield from self.feed("")

    def _opening(self) -> int | None:
        """Where the first quotation or mark begins, or white space at the end that may stand before one."""
        before = self._before
        for at, character in enumerate(self._held):
            if character == "[" and MARK_SO_FAR.match(self._held, at):
                return at
            if character in CLOSES and (character != '"' or before in BEFORE_QUOTATION):
                return at
            before = character
        return None

    def _opened(self) -> Piece | None:
        """The piece that begins the held text, `None` where it is not whole yet."""
        held = self._held
        if held[0] == "[":
            if whole := MARK.match(held):
                return self._pass("mark", whole.end())
            so_far = MARK_SO_FAR.match(held)
            if so_far is not None and so_far.end() == len(held) <= LONGEST_MARK:
                return None
            return self._pass("text", 1)
        ends = [at for close in CLOSES[held[0]] if (at := held.find(close, 1)) > 0]
        line = held.find("\n")
        limit = min(LONGEST_QUOTATION, line if line >= 0 else len(held))
        if ends and min(ends) < limit:
            return self._pass("quotation", min(ends) + 1)
        return self._pass("open", limit) if line >= 0 or len(held) >= LONGEST_QUOTATION else None

    def _pass(self, kind: Literal["text", "quotation", "mark", "open"], length: int) -> Piece:
        piece, self._held = Piece(kind, self._held[:length]), self._held[length:]
        self._before = piece.text[-1]
        return piece
