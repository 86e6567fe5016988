"""Where the words of a quotation stand in the passages, so that a quote is a citation or none.

A quotation is verbatim where its words are those of one passage, in their order and whole. White space, the case of
letters, and the shapes of quotation marks, dashes and apostrophes may differ: typing changes those without changing
what is said. What is cited is always the document's own text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from penstock.knowledge.evidence import Sentence
from penstock.knowledge.ranking import Neighbourhood
from penstock.knowledge.terms import words
from penstock.knowledge.values import Hit

ELLIPSIS = re.compile(r"\s*(?:\[\s*(?:…|\.{3})\s*\]|…|\.{3})\s*")
SAME = str.maketrans("’‘‚“”„«»–—\u00a0", '\'\'\'"""""-- ')
ENDS = " .,;:!?"
"""What a writer may put before the closing mark that is not the document's."""

FIRST_UNSPACED = "\u0e00"
"""From here on there are scripts that put no spaces between words."""

AROUND = Neighbourhood(frozenset(), frozenset(), frozenset(), 0.0, 0.0)


class Plain(Struct, frozen=True):
    """A passage as it is compared: `text[i]` stands at character `places[i]` of the passage."""

    text: str
    places: tuple[int, ...]


class Verbatim:
    """The passages of one answer, to look quotations up in. Passages are numbered from 1."""

    def __init__(self, passages: Sequence[Hit]) -> None:
        self._passages = passages
        self._plain = [plain(hit.text) for hit in passages]

    def __len__(self) -> int:
        return len(self._passages)

    def find(self, quotation: str) -> list[Sentence]:
        """The places of a quotation, all in one passage; none where it is not verbatim.

        A quotation that leaves something out ("… and …") has a place for each part of it.
        """
        parts = [part for part in ELLIPSIS.split(quotation.strip()) if words(part)]
        for at in range(len(self._passages)) if parts else ():
            if found := self._in_order(at, parts):
                return found
        return []

    def _in_order(self, at: int, parts: Sequence[str]) -> list[Sentence]:
        """Each part behind the one before; empty where one is missing."""
        passage, found, start = self._plain[at], [], 0
        for part in parts:
            wanted = plain(part).text.strip(ENDS)
            place = whole_words(passage.text, wanted, start)
            if place < 0:
                return []
            start = place + len(wanted)
            found.append(self._sentence(at, passage.places[place], passage.places[start - 1] + 1))
        return found

    def _sentence(self, at: int, start: int, end: int) -> Sentence:
        hit = self._passages[at]
        return Sentence(hit, at, hit.start + start, hit.start + end, hit.text[start:end], AROUND)


def plain(text: str) -> Plain:
    """Lower case, one kind of each mark, and one space for each run of them."""
    characters: list[str] = []
    places: list[int] = []
    for at, character in enumerate(text):
        low = character.translate(SAME)
        if low.isspace():
            if characters and characters[-1] == " ":
                continue
            low = " "
        low = low.lower()
        characters.append(low if len(low) == 1 else character)
        places.append(at)
    return Plain("".join(characters), tuple(places))


def whole_words(text: str, wanted: str, start: int) -> int:
    """Where `wanted` begins in `text` without cutting a word or a number, from `start` on; -1 where it does not."""
    at = text.find(wanted, start) if wanted else -1
    while at >= 0:
        end = at + len(wanted)
        if not _inside_word(text, at) and not _inside_word(text, end):
            return at
        at = text.find(wanted, at + 1)
    return -1


def _inside_word(text: str, at: int) -> bool:
    """Whether a word, or a number with a mark in it, goes on over this place. Scripts without spaces never do."""
    if not 0 < at < len(text):
        return False
    before, after = text[at - 1], text[at]
    if before.isalnum() and after.isalnum():
        return before < FIRST_UNSPACED and after < FIRST_UNSPACED
    decimal = (before in ".," and text[at - 2 : at - 1].isdigit()) or (
        after in ".," and text[at + 1 : at + 2].isdigit()
    )
    return decimal and (before.isdigit() or after.isdigit())
