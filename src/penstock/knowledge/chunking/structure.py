"""Passages that follow a text's structure, and what it speaks of.

A passage is a section, whole where it fits; a longer one is cut between its blocks and sentences, where the
words on both sides have least in common. Passages do not overlap: together they hold every character that is
not white space once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from penstock.knowledge.chunking.cohesion import Likeness, WordLikeness, joined
from penstock.knowledge.chunking.tokens import MeasuredText
from penstock.knowledge.chunking.units import Splitter, Unit, merged, pieces, units_of
from penstock.knowledge.chunking.values import Block, Passage

SMALLEST = 32
"""Tokens; a section shorter than this joins the next one."""

GRAINS = 8
"""At most about this many times two grains make a passage, so that comparing all ways to cut stays cheap."""


def cut_structure(
    document: MeasuredText, blocks: Sequence[Block], limit: int, split: Splitter = pieces
) -> list[Passage]:
    """Passages of at most `limit` tokens."""
    grains = grains_of(document, blocks, limit, split)
    return passages(grains, word_likeness(document, grains), limit)


def cut_parents(document: MeasuredText, blocks: Sequence[Block], limit: int, parent_limit: int) -> list[Passage]:
    """Passages of at most `limit` tokens that are found, in larger ones that are read."""
    grains = grains_of(document, blocks, limit, pieces)
    likeness = word_likeness(document, grains)
    found: list[Passage] = []
    for low, high in joined(grains, likeness, parent_limit):
        parent = (grains[low].start, grains[high - 1].end)
        children = joined(grains[low:high], lambda one, other, low=low: likeness(low + one, low + other), limit)
        found.extend(
            msgspec.structs.replace(passage(grains[low + first : low + last]), parent=parent)
            for first, last in children
        )
    return found


def passages(grains: Sequence[Unit], likeness: Likeness, limit: int) -> list[Passage]:
    return [passage(grains[low:high]) for low, high in joined(grains, likeness, limit)]


def passage(grains: Sequence[Unit]) -> Passage:
    whole = merged(grains)
    return Passage(whole.start, whole.end, whole.heading)


def word_likeness(document: MeasuredText, grains: Sequence[Unit]) -> WordLikeness:
    return WordLikeness([document.text[grain.start : grain.end] for grain in grains])


def grains_of(document: MeasuredText, blocks: Sequence[Block], limit: int, split: Splitter) -> list[Unit]:
    """The document in units that are worth comparing: short ones (list items, lines) together with the next."""
    return [
        merged(run, number)
        for number, section in enumerate(sections(units_of(document, blocks, limit, split)))
        for run in grown(section, limit)
    ]


def sections(units: Iterable[Unit]) -> Iterator[list[Unit]]:
    """Units from heading to heading; a section that is too short to stand alone goes on with the next."""
    section: list[Unit] = []
    tokens = 0
    for unit in units:
        if unit.opens and tokens >= SMALLEST:
            yield section
            section, tokens = [], 0
        section.append(unit)
        tokens += unit.tokens
    if section:
        yield section


def grown(units: Sequence[Unit], limit: int) -> Iterator[list[Unit]]:
    """Runs that are no shorter than a fraction of the limit where that is possible; headings begin one."""
    run: list[Unit] = []
    tokens = 0
    for unit in units:
        begins = unit.opens and not run_opens(run)
        if run and (tokens * GRAINS >= limit or tokens + unit.tokens > limit or begins):
            yield run
            run, tokens = [], 0
        run.append(unit)
        tokens += unit.tokens
    if run:
        yield run


def run_opens(run: Sequence[Unit]) -> bool:
    return bool(run) and run[-1].opens
