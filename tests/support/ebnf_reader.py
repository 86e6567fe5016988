"""Reads the EBNF that engines get, to write random sentences of it and to recognize some.

Written from the notation alone, so that a grammar which only its writer understands does not pass.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

TOKEN = re.compile(
    r'\s*(?:(?P<literal>"(?:[^"\\]|\\.)*")|(?P<class>\[(?:[^\]\\]|\\.)*\])|(?P<repeat>\{\d+(?:,\d*)?\}|[*+?])'
    r"|(?P<mark>[()|])|(?P<name>[a-zA-Z][a-zA-Z0-9]*))"
)
CHARACTER = re.compile(r"\\u([0-9a-f]{4})|\\U([0-9a-f]{8})|([^\\])", re.DOTALL)
Node = tuple[Any, ...]


class Grammar:
    def __init__(self, text: str) -> None:
        self.rules: dict[str, Node] = {}
        for line in text.splitlines():
            name, _, body = line.partition(" ::= ")
            tokens = self._tokens(body)
            self.rules[name] = self._alternatives(tokens)
            assert not tokens, f"{tokens} is left of {line}"
        self._heights = dict.fromkeys(self.rules, float("inf"))
        for _ in self.rules:
            for name, node in self.rules.items():
                self._heights[name] = 1 + self._height(node)

    def write(self, chance: random.Random) -> str:
        """A random sentence; long repetitions and deep nesting are made unlikely."""
        return self._write(("name", "root"), chance, 0)

    def accepts(self, text: str) -> bool:
        return len(text) in set(self._match(("name", "root"), text, 0))

    def _height(self, node: Node) -> float:
        """How deep the rules below a node go at least."""
        kind = node[0]
        if kind == "name":
            return self._heights[node[1]]
        if kind == "repeat":
            return self._height(node[1]) if node[2] else 0
        if kind in ("all", "or"):
            return (max if kind == "all" else min)(self._height(item) for item in node[1])
        return 0

    def _tokens(self, body: str) -> list[tuple[str, str]]:
        out = []
        at = 0
        while at < len(body.rstrip()):
            found = TOKEN.match(body, at)
            assert found, f"cannot read {body[at:]}"
            kind = found.lastgroup
            assert kind
            out.append((kind, found[kind]))
            at = found.end()
        return out

    def _alternatives(self, tokens: list[tuple[str, str]]) -> Node:
        branches = [self._sequence(tokens)]
        while tokens and tokens[0] == ("mark", "|"):
            tokens.pop(0)
            branches.append(self._sequence(tokens))
        return ("or", branches)

    def _sequence(self, tokens: list[tuple[str, str]]) -> Node:
        items: list[Node] = []
        while tokens and tokens[0] not in (("mark", "|"), ("mark", ")")):
            kind, text = tokens.pop(0)
            if kind == "literal":
                items.append(("literal", "".join(chr(code) for code in characters(text[1:-1]))))
            elif kind == "class":
                items.append(("class", ranges(text[1:-1])))
            elif kind == "name":
                items.append(("name", text))
            elif kind == "mark":
                items.append(self._alternatives(tokens))
                assert tokens.pop(0) == ("mark", ")")
            else:
                least, most = counts(text)
                items.append(("repeat", items.pop(), least, most))
        assert items, "an empty alternative"
        return ("all", items)

    def _write(self, node: Node, chance: random.Random, depth: int) -> str:
        kind = node[0]
        if kind == "literal":
            return str(node[1])
        if kind == "class":
            low, high = chance.choice(node[1])
            return chr(chance.randint(low, min(high, low + 200)))
        if kind == "name":
            return self._write(self.rules[node[1]], chance, depth + 1)
        if kind == "all":
            return "".join(self._write(item, chance, depth + 1) for item in node[1])
        if kind == "or":
            branches = node[1] if depth < 60 else [min(node[1], key=self._height)]
            return self._write(chance.choice(branches), chance, depth + 1)
        _, item, least, most = node
        extra = 0 if depth > 60 else min(chance.choice((0, 0, 1, 2, 3)), 3 if most is None else most - least)
        return "".join(self._write(item, chance, depth + 1) for _ in range(least + extra))

    def _match(self, node: Node, text: str, at: int) -> Iterator[int]:
        kind = node[0]
        if kind == "literal":
            if text.startswith(node[1], at):
                yield at + len(node[1])
        elif kind == "class":
            if at < len(text) and any(low <= ord(text[at]) <= high for low, high in node[1]):
                yield at + 1
        elif kind == "name":
            yield from set(self._match(self.rules[node[1]], text, at))
        elif kind == "or":
            for branch in node[1]:
                yield from self._match(branch, text, at)
        elif kind == "all":
            ends = {at}
            for item in node[1]:
                ends = {end for start in ends for end in self._match(item, text, start)}
            yield from ends
        else:
            yield from self._match_repeat(node, text, at)

    def _match_repeat(self, node: Node, text: str, at: int) -> Iterator[int]:
        _, item, least, most = node
        ends, seen, count = {at}, set[int](), 0
        while ends and (most is None or count <= most):
            if count >= least:
                yield from ends - seen
                seen |= ends
            ends = {end for start in ends for end in self._match(item, text, start)}
            ends = ends - seen if count >= least else ends
            count += 1


def characters(text: str) -> Iterator[int]:
    at = 0
    while at < len(text):
        found = CHARACTER.match(text, at)
        assert found, f"an escape that not every engine reads: {text[at : at + 10]}"
        short, long, plain = found.groups()
        yield ord(plain) if plain else int(short or long, 16)
        at = found.end()


def ranges(text: str) -> list[tuple[int, int]]:
    assert not text.startswith("^")
    parts = re.findall(r"(\\u[0-9a-f]{4}|\\U[0-9a-f]{8}|[^\\])(?:-(\\u[0-9a-f]{4}|\\U[0-9a-f]{8}|[^\\]))?", text)
    out = []
    for low, high in parts:
        (first,) = characters(low)
        (last,) = characters(high or low)
        out.append((first, last))
    return out


@lru_cache
def counts(text: str) -> tuple[int, int | None]:
    if text in "*+?":
        return {"*": (0, None), "+": (1, None), "?": (0, 1)}[text]  # type: ignore[return-value]
    least, comma, most = text[1:-1].partition(",")
    return int(least), (int(most) if most else None) if comma else int(least)
