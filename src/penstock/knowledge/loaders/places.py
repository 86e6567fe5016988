"""Where in its file a passage stands, in words that its reader can act on: `sheet Sales, rows 2–40`."""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

Unit = Literal["", "line", "row"]
SEPARATORS: dict[str, str] = {"line": "\n", "row": "\n\n"}
NUMBERED = re.compile(r"(?P<before>(?:.*, )?)(?P<noun>[a-z]+) (?P<number>\d+)")


class Place(Struct, frozen=True):
    """From character `start` on a text stands at `label` ("page 3", "sheet Sales"), until the next place.

    With a `unit`, its lines (or rows, with a blank line between them) are counted, the first as `number`.
    """

    start: int
    label: str
    unit: Unit = ""
    number: int = 0


class Locator:
    """Says where ranges of one text stand. Ranges that come in order are found without counting anew."""

    def __init__(self, text: str, places: Sequence[Place]) -> None:
        self._text = text
        self._places = places
        self._starts = [place.start for place in places]
        self._counted = (0, 0, 0)

    def location(self, start: int, end: int) -> str:
        """Where characters `start` to `end` stand: one place, or from the first to the last; "" if unknown, or
        where one of them has no name."""
        first = bisect.bisect_right(self._starts, start) - 1
        last = max(first, bisect.bisect_left(self._starts, end) - 1)
        if 0 <= first < last and self._counts_on(first):
            first += 1
            start = self._starts[first]
        if self._nameless(first) or self._nameless(last):
            return ""
        return between(self._label(first, start), self._label(last, max(start, end - 1)))

    def _counts_on(self, index: int) -> bool:
        """Whether a place is only the heading of what the next one counts."""
        here, following = self._places[index], self._places[index + 1]
        return bool(following.unit) and not here.unit and here.label == following.label

    def _nameless(self, index: int) -> bool:
        """Whether a place is what lies between those that have names, such as the text between its footnotes."""
        return index >= 0 and not self._places[index].label and not self._places[index].unit

    def _label(self, index: int, position: int) -> str:
        if index < 0:
            return ""
        place = self._places[index]
        if not place.unit:
            return place.label
        number = place.number + self._count(index, place, position)
        return f"{place.label}, {place.unit} {number}" if place.label else f"{place.unit} {number}"

    def _count(self, index: int, place: Place, position: int) -> int:
        """How many separators stand between the start of a place and a position in it."""
        at, reached, count = self._counted
        if at != index or reached > position or reached < place.start:
            reached, count = place.start, 0
        count += self._text.count(SEPARATORS[place.unit], reached, max(reached, position))
        self._counted = (index, position, count)
        return count


def between(first: str, last: str) -> str:
    """Two labels as one: `page 3` and `page 4` are `pages 3–4`; labels of different kinds are joined by a dash."""
    if first == last or not last:
        return first
    low, high = NUMBERED.fullmatch(first), NUMBERED.fullmatch(last)
    if low and high and (low["before"], low["noun"]) == (high["before"], high["noun"]):
        return f"{low['before']}{low['noun']}s {low['number']}–{high['number']}"
    return f"{first} – {last}" if first else last
