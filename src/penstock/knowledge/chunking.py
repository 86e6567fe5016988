"""Text to passages that follow its structure and know where they stand.

A passage is a run of whole blocks (paragraphs, list items, code, tables) under one heading, about as long as
the encoder reads. A block that is too long is cut between sentences, code and tables between lines; a
sentence that is too long between words; nothing is cut inside a word unless the word alone is too long.
Passages do not overlap: together they hold every character that is not white space once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Literal

from msgspec import Struct

from penstock.knowledge.sentences import split_sentences
from penstock.knowledge.values import Heading

BlockKind = Literal["heading", "paragraph", "code", "table"]

SMALLEST = 32
"""Estimated tokens; a section shorter than this joins the next one."""

TOKEN = re.compile(
    r"[a-zA-Z]{1,6}"  # a common English word, or a piece of a long one
    r"|\d{1,3}"
    r"|[^\W\da-zA-Z]"  # other scripts are taken apart to characters
    r"|[^\w\s]|_"
)


class Block(Struct, frozen=True):
    """A piece of a document's structure: characters `start` to `end`; `level` is 1 to 6 for headings, else 0."""

    kind: BlockKind
    start: int
    end: int
    level: int = 0


class Passage(Struct, frozen=True):
    """Characters `start` to `end` of a text, and the headings it stands under."""

    start: int
    end: int
    heading: tuple[str, ...]


class _Unit(Struct, frozen=True):
    """What is not cut: a range, its estimated tokens, and the headings above it."""

    start: int
    end: int
    tokens: int
    heading: tuple[str, ...]
    opens: bool = False


def estimate_tokens(text: str) -> int:
    """About how many tokens the encoder makes of a text; rather too many than too few."""
    return sum(1 for _ in TOKEN.finditer(text))


def chunk(text: str, blocks: Sequence[Block], limit: int) -> list[Passage]:
    """Cuts a text into passages of at most about `limit` tokens.

    `blocks` are in order and do not overlap; text that none of them covers is taken as paragraphs.
    """
    return [
        _passage(units)
        for section in _sections(_units(text, list(_covering(text, blocks)), limit))
        for units in _packed(section, limit)
    ]


def embedding_text(heading: Sequence[str], body: str) -> str:
    """What is embedded for a passage: its headings first, those that it does not begin with itself."""
    above = [title for title in heading if not body.startswith(title)]
    return "\n".join([" › ".join(above), body]) if above else body


def _sections(units: Iterable[_Unit]) -> Iterator[list[_Unit]]:
    """Units from heading to heading; a section that is too short to stand alone goes on with the next."""
    section: list[_Unit] = []
    tokens = 0
    for unit in units:
        if unit.opens and tokens >= SMALLEST:
            yield section
            section, tokens = [], 0
        section.append(unit)
        tokens += unit.tokens
    if section:
        yield section


def _packed(units: Sequence[_Unit], limit: int) -> Iterator[list[_Unit]]:
    """Runs of units of about equal size, none over the limit; a heading stays with what follows it."""
    total = sum(unit.tokens for unit in units)
    share = total / max(1, -(-total // limit))
    run: list[_Unit] = []
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


def _passage(units: Sequence[_Unit]) -> Passage:
    """One passage of several units, under the headings that those share which are not headings themselves."""
    paths = [unit.heading for unit in units if not unit.opens] or [units[-1].heading]
    shared = paths[0]
    for path in paths[1:]:
        while path[: len(shared)] != shared:
            shared = shared[:-1]
    return Passage(units[0].start, units[-1].end, shared)


def _covering(text: str, blocks: Sequence[Block]) -> Iterator[Block]:
    """The blocks without surrounding white space, and paragraphs for what lies between them."""
    at = 0
    for block in [*blocks, Block("paragraph", len(text), len(text))]:
        for start, end in _stripped(text, at, block.start):
            yield Block("paragraph", start, end)
        for start, end in _stripped(text, max(at, block.start), block.end):
            yield Block(block.kind, start, end, block.level)
        at = max(at, block.end)


def _stripped(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The range without white space around it, if anything is left."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if start < end:
        yield start, end


def _units(text: str, blocks: Sequence[Block], limit: int) -> Iterator[_Unit]:
    path: list[Heading] = []
    titles: tuple[str, ...] = ()
    above = 0  # tokens of the headings directly above, for which the next block leaves room
    for block in blocks:
        opens = block.kind == "heading"
        if opens:
            path = [heading for heading in path if heading.level < block.level]
            path.append(Heading(block.level, block.start, block.end))
            titles = tuple(_title(text, heading) for heading in path)
        for start, end in _pieces(text, block, limit if opens else limit - above):
            tokens = estimate_tokens(text[start:end])
            above = min(above + tokens, limit // 2) if opens else 0
            yield _Unit(start, end, tokens, titles, opens)


def _title(text: str, heading: Heading) -> str:
    return " ".join(text[heading.start : heading.end].split())


def _pieces(text: str, block: Block, limit: int) -> Iterator[tuple[int, int]]:
    """A block whole where it fits, else in pieces of about equal size."""
    total = estimate_tokens(text[block.start : block.end])
    if total <= limit:
        yield block.start, block.end
        return
    if block.kind in ("code", "table"):
        parts = list(_lines(text, block.start, block.end))
    else:
        parts = [(span.start, span.end) for span in split_sentences(text, block.start, block.end)]
    parts = [piece for start, end in parts for piece in _short(text, start, end, limit)]
    units = [_Unit(start, end, estimate_tokens(text[start:end]), ()) for start, end in parts]
    yield from ((run[0].start, run[-1].end) for run in _packed(units, limit))


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    at = start
    while at < end:
        stop = text.find("\n", at, end)
        stop = end if stop < 0 else stop
        yield from _stripped(text, at, stop)
        at = stop + 1


def _short(text: str, start: int, end: int, limit: int) -> Iterator[tuple[int, int]]:
    """A sentence or line whole where it fits, else cut between words, and a word only if it is too long itself."""
    if estimate_tokens(text[start:end]) <= limit:
        yield start, end
        return
    first, tokens = start, 0
    last = start
    for word in re.finditer(r"\S+", text[start:end]):
        low, high = start + word.start(), start + word.end()
        size = estimate_tokens(word.group())
        if tokens and tokens + size > limit:
            yield first, last
            first, tokens = low, 0
        if size > limit:
            *whole, (low, high) = _cut_word(text, low, high, limit)
            yield from whole
            first, size = low, estimate_tokens(text[low:high])
        tokens += size
        last = high
    yield first, last


def _cut_word(text: str, start: int, end: int, limit: int) -> list[tuple[int, int]]:
    """A run without spaces (a script without them, encoded data) at every `limit` tokens."""
    ends = [start + token.end() for token in TOKEN.finditer(text[start:end])][limit - 1 :: limit]
    cuts = [start, *(cut for cut in ends if cut < end), end]
    return [(low, high) for low, high in pairwise(cuts) if low < high]
