"""Regular expressions as EBNF.

The dialect is Python's `re` with ASCII classes, and the whole answer must match. What a grammar cannot hold to
(look-around, back-references, word boundaries, flags) is refused by name.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Sequence
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

from penstock.constraints.ebnf import (
    EVERYTHING,
    Range,
    character_class,
    complement,
    intersection,
    literal,
    merged,
    repeated,
)
from penstock.errors import InvalidConstraint

MOST_CHARACTERS = 8192
MOST_ELEMENTS = 20_000
"""The elements of an expression with its repetitions written out; engines expand them so."""

DIGITS: tuple[Range, ...] = ((48, 57),)
WORDS: tuple[Range, ...] = ((48, 57), (65, 90), (95, 95), (97, 122))
SPACES: tuple[Range, ...] = ((9, 13), (32, 32))
CATEGORIES = {
    op.CATEGORY_DIGIT: DIGITS,
    op.CATEGORY_NOT_DIGIT: complement(DIGITS),
    op.CATEGORY_WORD: WORDS,
    op.CATEGORY_NOT_WORD: complement(WORDS),
    op.CATEGORY_SPACE: SPACES,
    op.CATEGORY_NOT_SPACE: complement(SPACES),
}
PLAIN_IN_JSON = complement(((0, 31), (34, 34), (92, 92), (127, 127)))
"""The characters that stand for themselves in a JSON string and are not control characters."""

REFUSED = {
    op.ASSERT: "look-ahead and look-behind",
    op.ASSERT_NOT: "look-ahead and look-behind",
    op.GROUPREF: "a back-reference",
    op.GROUPREF_EXISTS: "a conditional group",
    op.ATOMIC_GROUP: "an atomic group",
    op.POSSESSIVE_REPEAT: "a possessive quantifier",
}
STARTS = {op.AT_BEGINNING, op.AT_BEGINNING_STRING}
ENDS = {op.AT_END, op.AT_END_STRING}


def regex_grammar(source: str) -> str:
    """A regular expression as EBNF; the whole answer must match. Raises `InvalidConstraint`."""
    body, _, _ = _Converter(in_json=False).convert(source)
    return f"root ::= {body}\n"


def regex_in_json(source: str) -> str:
    """An element for the inside of a JSON string with a match somewhere in it, as JSON Schema's `pattern` says."""
    body, anchored_start, anchored_end = _Converter(in_json=True).convert(source)
    anything = character_class(PLAIN_IN_JSON) + "*"
    before = "" if anchored_start else anything + " "
    after = "" if anchored_end else " " + anything
    return f"({before}{body}{after})"


class _Converter:
    """Walks the tree of Python's own parser, whose every operator is handled or refused."""

    def __init__(self, *, in_json: bool) -> None:
        self._in_json = in_json

    def convert(self, source: str) -> tuple[str, bool, bool]:
        """The EBNF, and whether the expression is anchored at its start and its end."""
        if len(source) > MOST_CHARACTERS:
            raise InvalidConstraint(
                f"the regular expression has {len(source)} characters; at most {MOST_CHARACTERS} are allowed.",
                hint="Write a shorter one.",
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = _parser.parse(source, re.ASCII)
        except (re.error, RecursionError, OverflowError) as error:
            raise InvalidConstraint(
                f"the regular expression {shown(source)} does not compile: {error}.",
                hint="The dialect is that of Python's re module.",
            ) from error
        if tree.state.flags & ~re.ASCII:
            raise self._refused("a flag")
        items = list(tree)
        start = bool(items) and items[0][0] is op.AT and items[0][1] in STARTS
        items = items[1:] if start else items
        end = bool(items) and items[-1][0] is op.AT and items[-1][1] in ENDS
        items = items[:-1] if end else items
        if elements(items) > MOST_ELEMENTS:
            raise InvalidConstraint(
                f"the regular expression {shown(source)} has more than {MOST_ELEMENTS} elements once its"
                " repetitions are written out, and would take seconds to compile.",
                hint="Use smaller or fewer nested repetitions; * and + cost nothing.",
            )
        return self._sequence(items), start, end

    def _sequence(self, items: Sequence[Any]) -> str:
        return " ".join(self._item(*item) for item in items) or '""'

    def _item(self, kind: Any, value: Any) -> str:
        if kind is op.LITERAL:
            return self._set([(value, value)])
        if kind is op.NOT_LITERAL:
            return self._set(complement([(value, value)]))
        if kind is op.ANY:
            return self._set(complement([(10, 10)]))
        if kind is op.IN:
            return self._set(class_ranges(value))
        if kind is op.BRANCH:
            return "(" + " | ".join(self._sequence(branch) for branch in value[1]) + ")"
        if kind is op.SUBPATTERN:
            _, added, removed, body = value
            if added or removed:
                raise self._refused("a flag")
            return f"({self._sequence(body)})"
        if kind in (op.MAX_REPEAT, op.MIN_REPEAT):
            least, most, body = value
            return repeated(f"({self._sequence(body)})", least, None if most is op.MAXREPEAT else int(most))
        if kind is op.AT:
            raise self._refused("an anchor or word boundary inside the expression")
        raise self._refused(REFUSED.get(kind, str(kind).lower()))

    def _set(self, ranges: Sequence[Range]) -> str:
        ranges = intersection(ranges, EVERYTHING)
        if not self._in_json:
            return self._class(ranges)
        plain = intersection(ranges, PLAIN_IN_JSON)
        escaped = intersection(ranges, ((1, 31), (34, 34), (92, 92), (127, 127)))
        if plain or not escaped:
            # Leaving the escaped ones out makes fewer strings, all of them matches.
            return self._class(plain)
        codes = [code for low, high in escaped for code in range(low, high + 1)]
        return "(" + " | ".join(literal(json.dumps(chr(code))[1:-1]) for code in codes) + ")"

    def _class(self, ranges: Sequence[Range]) -> str:
        if not ranges:
            raise InvalidConstraint(
                "the regular expression has a class that no character is in.", hint="Correct the class."
            )
        if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
            return literal(chr(ranges[0][0]))
        return character_class(ranges)

    def _refused(self, what: str) -> InvalidConstraint:
        return InvalidConstraint(
            f"the regular expression has {what}, which cannot be held to while an answer is generated.",
            hint="Use literals, classes, groups, alternatives and repetitions; the whole answer must match.",
        )


def class_ranges(items: Sequence[Any]) -> tuple[Range, ...]:
    ranges: list[Range] = []
    negated = False
    for kind, value in items:
        if kind is op.NEGATE:
            negated = True
        elif kind is op.LITERAL:
            ranges.append((value, value))
        elif kind is op.RANGE:
            ranges.append(value)
        else:
            ranges.extend(CATEGORIES[value])
    return complement(ranges) if negated else merged(ranges)


def elements(items: Sequence[Any]) -> int:
    """How many characters and classes a tree has with its bounded repetitions written out."""
    total = 0
    for kind, value in items:
        if kind is op.BRANCH:
            total += sum(elements(branch) for branch in value[1])
        elif kind is op.SUBPATTERN:
            total += elements(value[3])
        elif kind in (op.MAX_REPEAT, op.MIN_REPEAT):
            least, most, body = value
            total += max(1, elements(body)) * max(1, int(least if most is op.MAXREPEAT else most))
        else:
            total += 1
    return total


def shown(source: str) -> str:
    return repr(source if len(source) <= 80 else source[:77] + "...")
