"""The pieces of the EBNF that xgrammar and llama.cpp both read: literals, character classes, repetition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Range = tuple[int, int]

LAST = 0x10FFFF
SURROGATES = (0xD800, 0xDFFF)
EVERYTHING: tuple[Range, ...] = ((1, 0xD7FF), (0xE000, LAST))


def literal(text: str) -> str:
    return '"' + "".join(escape(ord(character)) for character in text) + '"' if text else '""'


def escape(code: int) -> str:
    character = chr(code)
    if character.isascii() and (character.isalnum() or character in " _,:;.{}()<>=+*/@#%&!?|~'`$"):
        return character
    return unicode_escape(code)


def unicode_escape(code: int) -> str:
    """Of a fixed length: xgrammar reads \\x with as many hex digits as follow."""
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def character_class(ranges: Iterable[Range]) -> str:
    parts = []
    for low, high in ranges:
        parts.append(class_escape(low) if low == high else f"{class_escape(low)}-{class_escape(high)}")
    return f"[{''.join(parts)}]"


def class_escape(code: int) -> str:
    character = chr(code)
    return character if character.isascii() and character.isalnum() else unicode_escape(code)


def repeated(body: str, least: int, most: int | None) -> str:
    """`body` is one element or in parentheses."""
    if (least, most) == (0, None):
        return f"{body}*"
    if (least, most) == (1, None):
        return f"{body}+"
    if (least, most) == (0, 1):
        return f"{body}?"
    if least == most:
        return f"{body}{{{least}}}"
    return f"{body}{{{least},{'' if most is None else most}}}"


def merged(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Sorted, without overlaps."""
    out: list[Range] = []
    for low, high in sorted(ranges):
        if out and low <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(high, out[-1][1]))
        else:
            out.append((low, high))
    return tuple(out)


def complement(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Every character that is not in `ranges`; never a surrogate or NUL."""
    out: list[Range] = []
    start = 1
    for low, high in merged([*ranges, SURROGATES]):
        if low > start:
            out.append((start, low - 1))
        start = max(start, high + 1)
    if start <= LAST:
        out.append((start, LAST))
    return tuple(out)


def intersection(one: Sequence[Range], other: Sequence[Range]) -> tuple[Range, ...]:
    out = [(max(a, c), min(b, d)) for a, b in one for c, d in other if max(a, c) <= min(b, d)]
    return merged(out)
