"""Text to sentences with exact character ranges.

The ranges are what quotes and citations are made of, so nothing is normalised: a sentence is always
`text[start:end]`. The rules are few and readable: blocks first (blank lines, headings, list items, table
rows), then terminal marks of the scripts that have them, with abbreviations, initials, numbers, quotations
and brackets kept whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

LONGEST = 600
"""Characters; a longer run without an end (a table, a list without marks) is cut at a weaker boundary."""

LONGEST_BRACKET = 300
"""Characters; a bracket that closes within these is not cut."""


class SentenceSpan(Struct, frozen=True):
    """Characters `start` to `end` of the text that was split, without surrounding white space."""

    start: int
    end: int


OPENING = "\"'“‘«‹„‚「『《〈(\\[{¿¡*_"
CLOSING = "\"'”’»›」』》〉)\\]}*_"
TERMINAL = re.compile(
    rf"""
    (?P<wide>[。！？｡．؟۔।॥።։။៕]+[{CLOSING}]*\s*)            # scripts whose mark ends a sentence by itself
    | (?<![.!?…])(?P<mark>[.!?…]++)
      (?P<close>[{CLOSING}]*+(?:\[\d{{1,3}}(?:,\s?\d{{1,3}})*\])*+)                # quotation marks, note numbers
      (?P<gap>\s++)(?=(?P<next>[{OPENING}]{{0,8}}\S))
    """,
    re.VERBOSE,
)
BLOCK_BREAK = re.compile(
    r"""
    \n[^\S\n]*\n\s*                                          # a blank line
    | \n(?=[^\S\n]*(?:[-*+•‣◦▪·–]|\(?(?:\d{1,3}|[a-zA-Z])[.)])[^\S\n]+\S)   # a list item
    | \n(?=[^\S\n]*(?:\#{1,6}\s|\||```|~~~|>\s))             # a heading, a table row, a fence, a quotation
    | (?<=\|)[^\S\n]*\n                                      # the end of a table row
    | \f\s*                                                  # a new page
    """,
    re.VERBOSE,
)
LINE = re.compile(r"\S[^\n]*")
CELLS = re.compile(r" \|(?: |$)")
"""Between two cells of a row, as tables are written by what reads files; `$` is the end of the line."""

HEADING_END = re.compile(r"^[^\S\n]*#{1,6}\s[^\n]*(\n\s*)", re.MULTILINE)
QUOTED = re.compile(r"[。！？]+[」』》]+$")
"""The end of a quotation; the sentence around it goes on: 「はい。」と言った。"""
WORD_BEFORE = re.compile(r"[\w.’'&]+$")
WORD_AFTER = re.compile(rf"[{OPENING}]*([\w’'-]+)")
BRACKET = re.compile(r"[()\[\]「」『』]")
WEAK_BREAK = (
    re.compile(r"\n\s*"),
    re.compile(r"(?<=[;；])\s*"),
    re.compile(r"(?<=[,，、:：])\s*"),
    re.compile(r"\s+"),
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NEVER_LAST = _words(
    """
    mr mrs ms mx dr prof st mt ft rev hon gen col lt sgt capt cmdr adm maj pres gov sen rep messrs mme mlle fr sr
    vs v cf viz e.g i.e eg ie al no nos nr vol vols fig figs pp p ed eds sec ch chap art approx ca c circa est dept
    univ assn ave blvd rd op ser trans tel incl excl z.b d.h bzw u.a ggf bspw vgl abb ing dipl p.ej sra
    dra ud uds sig
    """
)
"""Abbreviations that stand before something, so their full stop does not end a sentence."""

MAY_BE_LAST = _words(
    """
    etc inc co corp ltd llc plc bros jr sr esq ph.d phd m.d b.a m.a b.sc m.sc a.m p.m am pm a.d b.c b.c.e c.e
    u.s u.k u.n u.s.a u.s.s.r e.u d.c jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thur
    thurs fri sat sun min max avg hr hrs sec secs in ft lb lbs oz kg km mi cm mm
    """
)
"""Abbreviations that may end a sentence: they do where the next word usually begins one."""

STARTERS = _words(
    """
    a after all also although an and another any as at because before both but by despite during each every finally
    first for from furthermore given he her here his how however i if in indeed instead it its later many meanwhile
    moreover most my nevertheless no none not now of on once one only or other our over she similarly since so some
    such that the their then there therefore these they this those though through thus to today under unlike until
    we what when where whereas whether which while who why with within without yet you your
    """
)
"""Words that, with a capital, usually begin a sentence."""


def split_sentences(text: str, start: int = 0, end: int | None = None) -> tuple[SentenceSpan, ...]:
    """The sentences of `text[start:end]`, in order and without overlap, with offsets into `text`.

    Every character that is not white space is in exactly one of them. A row of a table is one.
    """
    limit = len(text) if end is None else min(end, len(text))
    spans: list[SentenceSpan] = []
    rows = list(table_rows(text, max(start, 0), limit))
    begun = {row.start for row in rows}
    for low, high in _blocks(text, max(start, 0), limit, rows):
        whole = low in begun and high - low <= LONGEST
        for first, last in ((low, high),) if whole else _ends(text, low, high):
            spans.extend(_short_enough(text, first, last))
    return tuple(spans)


class TableRow(Struct, frozen=True):
    """A line of a table, and where in the text the first line of that table begins."""

    start: int
    end: int
    table: int


def table_rows(text: str, start: int, end: int) -> Iterator[TableRow]:
    """Lines of cells that follow on one another; a line that stands alone may be anything."""
    if text.find(" |", start, end) < 0:
        return
    run: list[tuple[int, int]] = []
    for match in LINE.finditer(text, start, end):
        if run and text[run[-1][1] : match.start()].count("\n") != 1:
            yield from _table(run)
            run = []
        if CELLS.search(text, match.start(), match.end()):
            run.append(match.span())
        else:
            yield from _table(run)
            run = []
    yield from _table(run)


def _table(run: list[tuple[int, int]]) -> list[TableRow]:
    return [TableRow(low, high, run[0][0]) for low, high in run] if len(run) > 1 else []


def _blocks(text: str, start: int, end: int, rows: list[TableRow]) -> Iterator[tuple[int, int]]:
    """Paragraphs, headings, list items and table rows."""
    breaks = {(match.start(), match.end()) for match in BLOCK_BREAK.finditer(text, start, end)}
    breaks |= {match.span(1) for match in HEADING_END.finditer(text, start, end)}
    for row in rows:
        breaks.add((_line_before(text, row.start, start), row.start))
        breaks.add((row.end, row.end))
    at = start
    for low, high in sorted(breaks):
        if low >= at:
            yield at, low
            at = high
    yield at, end


def _line_before(text: str, at: int, start: int) -> int:
    """Where the white space before a position begins, not before `start`."""
    while at > start and text[at - 1].isspace():
        at -= 1
    return at


def _ends(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Cuts one block at the ends of its sentences."""
    closed_at = _brackets(text, start, end)
    at = start
    for match in TERMINAL.finditer(text, start, end):
        cut = match.end() if match.group("wide") else match.start("gap")
        if cut < closed_at.get(match.start(), 0) or (QUOTED.match(match.group()) and match.end() < end):
            continue
        if match.group("wide") or _ends_sentence(text, at, match):
            yield at, cut
            at = match.end()
    yield at, end


def _brackets(text: str, start: int, end: int) -> dict[int, int]:
    """For each terminal mark inside a short bracket: where the bracket closes."""
    inside: dict[int, int] = {}
    open_at: list[int] = []
    for match in BRACKET.finditer(text, start, end):
        if match.group() in "([「『":
            open_at.append(match.start())
        elif open_at:
            opened = open_at.pop()
            if not open_at and match.end() - opened <= LONGEST_BRACKET:
                inside.update(
                    (mark, match.start()) for mark in range(opened, match.start()) if text[mark] in ".!?…。！？"
                )
    return inside


def _ends_sentence(text: str, start: int, match: re.Match[str]) -> bool:
    """Whether the mark that was found, with white space after it, ends a sentence that began at `start`."""
    following = match.group("next")[-1]
    mark = match.group("mark")
    word_after = WORD_AFTER.match(text, match.end("gap"))
    if following.islower() or following == "|":
        return False
    if mark != "." or match.group("close").strip("*_"):
        return True
    before = WORD_BEFORE.search(text, max(start, match.start() - 40), match.start())
    if before is None:
        return True
    word = before.group().strip("’'-")
    starts = word_after is not None and word_after.group(1).split("’")[0].split("'")[0].lower() in STARTERS
    return _full_stop_ends(word, following, starts, first=before.start() <= start)


def _full_stop_ends(word: str, following: str, starts: bool, first: bool) -> bool:
    """Whether the full stop after `word` ends a sentence; `starts`: the next word usually begins one."""
    lower = word.lower()
    if first and (word.isdigit() or len(word) == 1):  # "1. First item"
        return False
    if lower in NEVER_LAST:
        return lower in ("no", "st", "fig", "art", "p", "v", "c", "ed") and starts and not following.isdigit()
    if len(word) == 1 and word.isalpha() and word.isupper() and word != "I":  # an initial
        return starts
    if lower in MAY_BE_LAST or re.fullmatch(r"(?:[A-Za-z]\.)+[A-Za-z]", word):
        return starts
    return True


def _short_enough(text: str, start: int, end: int) -> Iterator[SentenceSpan]:
    """Trims white space; cuts what is longer than `LONGEST` at the weakest boundary that helps."""
    while True:
        while start < end and text[start].isspace():
            start += 1
        if end - start <= LONGEST:
            break
        cut = _weak_cut(text, start, end)
        yield _trimmed(text, start, cut)
        start = cut
    if start < end:
        yield _trimmed(text, start, end)


def _trimmed(text: str, start: int, end: int) -> SentenceSpan:
    while end > start and text[end - 1].isspace():
        end -= 1
    return SentenceSpan(start, end)


def _weak_cut(text: str, start: int, end: int) -> int:
    """The last line break, semicolon, comma or space within `LONGEST` characters, else `LONGEST` itself."""
    limit = min(start + LONGEST, end)
    for pattern in WEAK_BREAK:
        cuts = [match.end() for match in pattern.finditer(text, start + LONGEST // 4, limit) if match.end() > start]
        if cuts:
            return cuts[-1]
    return limit
