"""Source code in pieces that are definitions, statements or runs of them, each under the names around it.

Python is read with its own parser. Other languages, and Python that does not parse, by their indentation, which
formatted code of every language has: what is indented further belongs to the line above it, and a line of
closing marks to what it closes. (Grammars of all languages would be fetched over the network when they are
first used, which nothing here does.) As in Zhang et al., "cAST" (2025), what is too long is opened, and
neighbours within one definition are put together again up to the limit.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Sequence
from itertools import accumulate

from msgspec import Struct

from penstock.knowledge.chunking.tokens import MeasuredText
from penstock.knowledge.chunking.units import Piece, pieces, short, stripped
from penstock.knowledge.chunking.values import Block

LONGEST_NAME = 80
TAB = 8
DEEPEST = 60
"""Levels of nesting that are followed."""


class Node(Struct, frozen=True):
    """Lines `first` to `last`, the latter excluded, with what it is called ("" for a statement)."""

    first: int
    last: int
    name: str = ""
    children: tuple[Node, ...] = ()


def by_syntax(document: MeasuredText, block: Block, limit: int) -> Iterator[Piece]:
    """A block of code whole where it fits, else along its syntax; other blocks as ever."""
    if block.kind != "code":
        yield from pieces(document, block, limit)
        return
    start = document.text.rfind("\n", 0, block.start) + 1  # the indentation of the first line counts
    start = start if not document.text[start : block.start].strip() else block.start
    source = document.text[start : block.end]
    lines = source.split("\n")
    nodes = python_nodes(source) or indented_nodes(lines, 0, len(lines))
    starts = [start, *(start + at for at in accumulate(len(line) + 1 for line in lines))]
    yield from Cutter(document, starts, limit).cut(nodes, (), block.end)


class Cutter:
    """Cuts one block of code whose lines start at `starts`."""

    def __init__(self, document: MeasuredText, starts: Sequence[int], limit: int) -> None:
        self._document = document
        self._starts = starts
        self._limit = limit

    def cut(self, nodes: Sequence[Node], under: tuple[str, ...], end: int) -> Iterator[Piece]:
        """Runs of nodes that fit; a node that does not is opened, and its lines above its children go first."""
        run: list[Node] = []
        for node in nodes:
            if run and self._tokens(run[0].first, node.last, end) > self._limit:
                yield from self._piece(run[0].first, run[-1].last, under, end)
                run = []
            if self._tokens(node.first, node.last, end) <= self._limit:
                run.append(node)
            elif node.children and len(under) < DEEPEST:
                yield from self._opened(node, under, end)
            else:
                yield from self._lines(node, under, end)
        if run:
            yield from self._piece(run[0].first, run[-1].last, under, end)

    def _opened(self, node: Node, under: tuple[str, ...], end: int) -> Iterator[Piece]:
        inner = (*under, node.name) if node.name else under
        at = node.first
        parts: list[Node] = []
        for child in node.children:
            if child.first > at:
                parts.append(Node(at, child.first))
            parts.append(child)
            at = child.last
        if at < node.last:
            parts.append(Node(at, node.last))
        yield from self.cut(parts, inner, end)

    def _lines(self, node: Node, under: tuple[str, ...], end: int) -> Iterator[Piece]:
        if node.last - node.first > 1:
            yield from self.cut([Node(line, line + 1) for line in range(node.first, node.last)], under, end)
            return
        for low, high in stripped(self._document.text, *self._range(node.first, node.last, end)):
            for first, last in short(self._document, low, high, self._limit):
                yield Piece(first, last, under)

    def _piece(self, first: int, last: int, under: tuple[str, ...], end: int) -> Iterator[Piece]:
        for low, high in stripped(self._document.text, *self._range(first, last, end)):
            yield Piece(low, high, under)

    def _tokens(self, first: int, last: int, end: int) -> int:
        return self._document.tokens(*self._range(first, last, end))

    def _range(self, first: int, last: int, end: int) -> tuple[int, int]:
        return self._starts[first], min(self._starts[last], end)


def python_nodes(source: str) -> tuple[Node, ...]:
    """The statements of Python code with the comments above them; empty for what is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    lines = source.split("\n")
    if len(source.splitlines()) > len(lines):  # a form feed or the like: the parser counts other lines
        return ()
    return _nodes(tree.body, 0, len(lines), 0)


def _nodes(body: Sequence[ast.stmt], first: int, last: int, depth: int) -> tuple[Node, ...]:
    """A node for each statement; together they cover lines `first` to `last`."""
    ends = [min(last, statement.end_lineno or statement.lineno) for statement in body]
    nodes = []
    at = first
    for number, (statement, end) in enumerate(zip(body, ends, strict=True)):
        end = last if number == len(body) - 1 else max(at, end)
        if end > at:
            nodes.append(Node(at, end, _name(statement), _children(statement, end, depth)))
        at = end
    return tuple(nodes)


def _children(statement: ast.stmt, last: int, depth: int) -> tuple[Node, ...]:
    body = getattr(statement, "body", None)
    if not isinstance(body, list) or not body or depth > DEEPEST:
        return ()
    first = min(
        getattr(body[0], "lineno", 1), *(each.lineno for each in getattr(body[0], "decorator_list", [])), last
    )
    return _nodes(body, first - 1, last, depth + 1)


def _name(statement: ast.stmt) -> str:
    match statement:
        case ast.ClassDef(name=name):
            return f"class {name}"
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return f"def {name}"
    return ""


def indented_nodes(lines: Sequence[str], first: int, last: int, depth: int = 0) -> tuple[Node, ...]:
    """Lines `first` to `last` by indentation: each line at the margin with all that is indented below it."""
    widths = {at: indentation(lines[at]) for at in range(first, last) if opens(lines[at])}
    margin = min(widths.values(), default=0)
    starts = [at for at, width in widths.items() if width <= margin]
    if not starts or starts[0] > first:
        starts.insert(0, first)
    ends = [*starts[1:], last]
    return tuple(_indented(lines, start, end, depth) for start, end in zip(starts, ends, strict=True))


def _indented(lines: Sequence[str], first: int, last: int, depth: int) -> Node:
    name = lines[first].strip().rstrip("{([:").strip()[:LONGEST_NAME]
    if last - first < 3 or depth >= DEEPEST:
        return Node(first, last, name)
    return Node(first, last, name, indented_nodes(lines, first + 1, last, depth + 1))


def indentation(line: str) -> int:
    """The width of the white space before a line."""
    text = line.expandtabs(TAB)
    return len(text) - len(text.lstrip())


def opens(line: str) -> bool:
    """Whether a line begins something, rather than end what is above it."""
    bare = line.strip()
    return bool(bare) and bare[0] not in "})]" and bare not in ("end", "fi", "done", "esac", "end;")
