"""What is not cut: sentences, lines, words; and how such units are put together to runs of a size.

A block that is too long is cut between sentences, code and tables between lines; a sentence that is too long
between words; a word only if it is too long alone, and then between what a reader takes for characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec import Struct

from penstock.knowledge.chunking.clusters import cluster_start
from penstock.knowledge.chunking.tokens import MeasuredText
from penstock.knowledge.chunking.values import Block
from penstock.knowledge.sentences import split_sentences

WORD = re.compile(r"\S+")


class Unit(Struct, frozen=True, gc=False):
    """A range that stays whole, its tokens, and the headings above it.

    `opens` marks a heading itself, `first` what begins a block; `section` counts from heading to heading.
    """

    start: int
    end: int
    tokens: int
    heading: tuple[str, ...] = ()
    opens: bool = False
    first: bool = True
    section: int = 0


class Piece(Struct, frozen=True, gc=False):
    """A part of a block, and what it stands under within the block (the class of a method)."""

    start: int
    end: int
    under: tuple[str, ...] = ()


Splitter = Callable[[MeasuredText, Block, int], Iterator[Piece]]
"""Takes a block apart into pieces of at most so many tokens."""


def units_of(document: MeasuredText, blocks: Sequence[Block], limit: int, split: Splitter) -> Iterator[Unit]:
    """Every character that is not white space, once and in order, in blocks or, of long ones, parts of them."""
    path: list[tuple[int, str]] = []
    above = 0  # tokens of the headings directly above, for which the next block leaves room
    for block in covering(document.text, blocks):
        opens = block.kind == "heading"
        if opens:
            path = [heading for heading in path if heading[0] < block.level]
            path.append((block.level, " ".join(document.text[block.start : block.end].split())))
        titles = tuple(title for _, title in path)
        for number, piece in enumerate(split(document, block, limit if opens else limit - above)):
            tokens = document.tokens(piece.start, piece.end)
            above = min(above + tokens, limit // 2) if opens else 0
            yield Unit(piece.start, piece.end, tokens, titles + piece.under, opens, number == 0)


def packed(units: Sequence[Unit], limit: int) -> Iterator[list[Unit]]:
    """Runs of units of about equal size, none over the limit; a heading stays with what follows it."""
    total = sum(unit.tokens for unit in units)
    share = total / max(1, -(-total // limit))
    run: list[Unit] = []
    tokens = 0
    for unit in units:
        full = tokens + unit.tokens > limit
        enough = tokens + unit.tokens / 2 > share and run and not run[-1].opens
        if run and (full or enough):
            yield run
            run, tokens = [], 0
        run.append(unit)
        tokens += unit.tokens
    if run:
        yield run


def merged(units: Sequence[Unit], section: int = 0) -> Unit:
    """One unit of several, under the headings that those share which are not headings themselves."""
    paths = [unit.heading for unit in units if not unit.opens] or [units[-1].heading]
    return Unit(
        units[0].start,
        units[-1].end,
        sum([unit.tokens for unit in units]),
        shared(paths),
        units[-1].opens,
        units[0].first,
        section,
    )


def shared(paths: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """The headings that all paths begin with."""
    first, *others = paths
    for path in others:
        while path[: len(first)] != first:
            first = first[:-1]
    return first


def covering(text: str, blocks: Sequence[Block]) -> Iterator[Block]:
    """The blocks without surrounding white space, and paragraphs for what lies between them."""
    at = 0
    for block in [*blocks, Block("paragraph", len(text), len(text))]:
        for start, end in stripped(text, at, block.start):
            yield Block("paragraph", start, end)
        for start, end in stripped(text, max(at, block.start), block.end):
            yield Block(block.kind, start, end, block.level)
        at = max(at, block.end)


def stripped(text: str, start: int, end: int) -> tuple[tuple[int, int], ...]:
    """The range without white space around it, if anything is left."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return ((start, end),) if start < end else ()


def pieces(document: MeasuredText, block: Block, limit: int) -> Iterator[Piece]:
    """Code and tables whole where they fit, else in runs of lines; of text, runs of sentences that are a quarter
    of the limit, so that there are places to choose from."""
    whole = block.kind != "paragraph"
    size = limit if whole else max(1, limit // 4)
    if document.tokens(block.start, block.end) <= size:
        yield Piece(block.start, block.end)
        return
    for run in packed(list(smallest(document, block, limit)), size):
        yield Piece(run[0].start, run[-1].end)


def smallest(document: MeasuredText, block: Block, limit: int) -> Iterator[Unit]:
    """The sentences of a block, the lines of code and tables; parts of those that are over the limit."""
    parts = lines if block.kind in ("code", "table") else sentences
    for low, high in parts(document.text, block.start, block.end):
        for start, end in short(document, low, high, limit):
            yield Unit(start, end, document.tokens(start, end))


def sentences(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """The sentences of a range; a word that the splitter has cut, since it has no end, is whole again."""
    whole: list[tuple[int, int]] = []
    for span in split_sentences(text, start, end):
        if whole and whole[-1][1] == span.start and inside_word(text, span.start):
            whole[-1] = (whole[-1][0], span.end)
        else:
            whole.append((span.start, span.end))
    return whole


def inside_word(text: str, at: int) -> bool:
    return text[at - 1].isalnum() and text[at].isalnum()


def lines(text: str, start: int, end: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    at = start
    while at < end:
        stop = text.find("\n", at, end)
        stop = end if stop < 0 else stop
        found.extend(stripped(text, at, stop))
        at = stop + 1
    return found


def short(document: MeasuredText, start: int, end: int, limit: int) -> Iterator[tuple[int, int]]:
    """A sentence or line whole where it fits, else cut between words, and a word only if it is too long itself."""
    if document.tokens(start, end) <= limit:
        yield start, end
        return
    first = last = start
    for word in WORD.finditer(document.text, start, end):
        low, high = word.span()
        if last > first and document.tokens(first, high) > limit:
            yield first, last
            first = low
        if document.tokens(low, high) > limit:
            *whole, (first, high) = cut_word(document, low, high, limit)
            yield from whole
        last = high
    yield first, last


def cut_word(document: MeasuredText, start: int, end: int, limit: int) -> list[tuple[int, int]]:
    """A run without spaces (a script without them, encoded data) in pieces of at most `limit` tokens.

    A cluster of characters that has more tokens than that is cut, too: there is nothing else left to do.
    """
    cuts = []
    while document.tokens(start, end) > limit:
        cut = min(document.after(start, limit), end)
        cut = cluster_start(document.text, cut, start) or cut
        cuts.append((start, cut))
        start = cut
    return [*cuts, (start, end)]
