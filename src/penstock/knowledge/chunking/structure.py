"""Passages that follow a text's structure.

A passage is a run of whole blocks (paragraphs, list items, code, tables) under one heading, about as long as
the encoder reads. Passages do not overlap: together they hold every character that is not white space once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from penstock.knowledge.chunking.tokens import MeasuredText
from penstock.knowledge.chunking.units import Unit, packed, passage, units_of
from penstock.knowledge.chunking.values import Block, Passage

SMALLEST = 32
"""Tokens; a section shorter than this joins the next one."""


def cut_structure(document: MeasuredText, blocks: Sequence[Block], limit: int) -> list[Passage]:
    """Passages of at most `limit` tokens."""
    return [
        passage(units)
        for section in sections(units_of(document, blocks, limit))
        for units in packed(section, limit)
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
