"""Patterns of names with slashes, as `sources`, `include` and `exclude` are written."""

from __future__ import annotations

import fnmatch
import re
import unicodedata
from collections.abc import Callable, Sequence

GLOB = re.compile(r"/\*\*/|^\*\*/|/\*\*$|\*\*|\*|\?|\[!?\]?[^\]/]*\]|.", re.DOTALL)

TRANSLATIONS = {
    "/**/": "/(?:.*/)?",
    "**/": "(?:.*/)?",
    "/**": "/.*",
    "**": ".*",
    "*": "[^/]*",
    "?": "[^/]",
}


def matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Whether a path with slashes matches any of these patterns."""
    compiled = [re.compile(expression(composed(pattern))) for pattern in patterns]

    def matches(path: str) -> bool:
        path = composed(path)
        return any(pattern.fullmatch(path) for pattern in compiled)

    return matches


def composed(path: str) -> str:
    """A path as people type it: some systems take an "é" in names apart into two characters."""
    return path if path.isascii() else unicodedata.normalize("NFC", path)


def expression(pattern: str) -> str:
    """A file pattern as a regular expression: `**` any depth, `*` and `?` within a name, `[…]` a choice."""
    pattern = pattern.removeprefix("./")
    if "/" not in pattern.rstrip("/"):
        pattern = f"**/{pattern}"
    if pattern.endswith("/"):
        pattern += "**"
    return "".join(_translated(piece) for piece in GLOB.findall(pattern))


def _translated(piece: str) -> str:
    if piece in TRANSLATIONS:
        return TRANSLATIONS[piece]
    if piece.startswith("[") and len(piece) > 2:
        choice = fnmatch.translate(piece)
        return "(?!/)" + choice[choice.index(":") + 1 : choice.rindex(")")]
    return re.escape(piece)


def literal_folder(pattern: str) -> str:
    """The folder that everything matching a pattern lies in: `docs/` of `docs/**/*.md`, "" for any."""
    pattern = pattern.removeprefix("./")
    head = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    return head.rpartition("/")[0] + "/" if "/" in head else ""


class Choice:
    """What `include` chooses and `exclude` does not take out again."""

    def __init__(self, include: Sequence[str], exclude: Sequence[str]) -> None:
        self._included = matcher(include)
        self._excluded = matcher(exclude)

    def takes(self, path: str) -> bool:
        return self._included(path) and not self._excluded(path)
