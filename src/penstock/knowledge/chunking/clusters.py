"""Where a text may be cut without taking apart what a reader sees as one character.

The rules of Unicode Standard Annex 29 that matter for cuts, by the categories that Python knows: a mark stays
with its base, a sequence joined by U+200D stays whole, so do skin tones, pairs of regional indicators (flags),
Hangul in single letters, and a carriage return with its line feed.
"""

from __future__ import annotations

import unicodedata

JOINER = "\u200d"
MARKS = frozenset(("Mn", "Me", "Mc"))


def cluster_start(text: str, at: int, low: int) -> int | None:
    """The last place after `low`, at `at` or before, where a cluster starts; `None` where there is none."""
    while at > low and at < len(text) and not starts_cluster(text, at):
        at -= 1
    return at if at > low else None


def starts_cluster(text: str, at: int) -> bool:
    """Whether character `at` of a text, not its first one, begins a new cluster."""
    before, here = text[at - 1], text[at]
    if here.isascii():
        return before != "\r" or here != "\n"
    if here == JOINER or before == JOINER or is_skin_tone(here) or unicodedata.category(here) in MARKS:
        return False
    if is_flag_letter(here) and is_flag_letter(before):
        run = at
        while run and is_flag_letter(text[run - 1]):
            run -= 1
        return (at - run) % 2 == 0
    return not (is_hangul_letter(here) and (is_hangul_letter(before) or "\uac00" <= before <= "\ud7a3"))


def is_skin_tone(character: str) -> bool:
    return "\U0001f3fb" <= character <= "\U0001f3ff"


def is_flag_letter(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def is_hangul_letter(character: str) -> bool:
    """A leading, middle or trailing letter of a syllable written in letters."""
    return "\u1100" <= character <= "\u11ff"
