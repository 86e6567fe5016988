"""Windows of so many sentences, whatever the structure of a text; a heading begins a new one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from penstock.knowledge.chunking.structure import passage
from penstock.knowledge.chunking.tokens import MeasuredText
from penstock.knowledge.chunking.units import Piece, Unit, smallest, units_of
from penstock.knowledge.chunking.values import Block, Passage


def cut_sentences(document: MeasuredText, blocks: Sequence[Block], limit: int, sentences: int) -> list[Passage]:
    """Passages of at most `sentences` sentences (lines of code and tables) and `limit` tokens."""
    units = units_of(document, blocks, limit, one_by_one)
    return [passage(window) for window in windows(units, limit, sentences)]


def one_by_one(document: MeasuredText, block: Block, limit: int) -> Iterator[Piece]:
    for unit in smallest(document, block, limit):
        yield Piece(unit.start, unit.end)


def windows(units: Iterator[Unit], limit: int, sentences: int) -> Iterator[list[Unit]]:
    window: list[Unit] = []
    tokens = count = 0
    for unit in units:
        full = count == sentences or tokens + unit.tokens > limit
        if window and (full or (unit.opens and count)):
            yield window
            window, tokens, count = [], 0, 0
        window.append(unit)
        tokens += unit.tokens
        count += not unit.opens
    if window:
        yield window
