"""Where each key of a TOML text stands.

The standard parser forgets lines, and the libraries that keep a file's formatting do not say where a key was.
This scanner reads a text that the standard parser has accepted, so it never has to judge it.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right

KeyPath = tuple[str | int, ...]

BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
BARE_KEY = re.compile(r"[^\s.=\]\"'#]+")
STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}(?!")'
    r"|'''.*?'{3,5}(?!')"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'",
    re.DOTALL,
)
PLAIN_VALUE = re.compile(r"[^,\]}#\n]+")


def find_lines(text: str) -> dict[KeyPath, int]:
    """The line, from 1, of every table, key and array element. `text` must be valid TOML."""
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._newlines = [match.start() for match in re.finditer("\n", text)]
        self._lines: dict[KeyPath, int] = {}
        self._array_tables: dict[KeyPath, int] = {}

    def scan(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        while self._peek():
            if self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def _peek(self) -> str:
        """The next character that is not blank or comment; "" at the end."""
        match = BLANK.match(self._text, self._at)
        assert match is not None
        self._at = match.end()
        return self._text[self._at : self._at + 1]

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        assert match is not None, "the text was not valid TOML"
        self._at = match.end()
        return match.group()

    def _mark(self, path: KeyPath, line: int) -> None:
        """Tables that a longer key makes in passing stand where that key stands."""
        for length in range(1, len(path) + 1):
            self._lines.setdefault(path[:length], line)

    def _line(self) -> int:
        return bisect_right(self._newlines, self._at - 1) + 1

    def _header(self) -> KeyPath:
        line = self._line()
        brackets = 2 if self._text.startswith("[[", self._at) else 1
        self._at += brackets
        keys = self._key()
        self._peek()
        self._at += brackets
        path: KeyPath = ()
        for number, key in enumerate(keys, 1):
            path = (*path, key)
            if number == len(keys) and brackets == 2:
                self._array_tables[path] = self._array_tables.get(path, -1) + 1
            if path in self._array_tables:
                path = (*path, self._array_tables[path])
        self._mark(path, line)
        self._lines[path] = line
        return path

    def _pair(self, table: KeyPath) -> None:
        line = self._line()
        path = (*table, *self._key())
        self._mark(path, line)
        self._peek()
        self._at += 1  # the equals sign
        self._value(path)

    def _key(self) -> KeyPath:
        parts: list[str] = []
        while True:
            if self._peek() in "\"'":
                parts.append(tomllib.loads(f"key = {self._take(STRING)}")["key"])
            else:
                parts.append(self._take(BARE_KEY))
            if self._peek() != ".":
                return tuple(parts)
            self._at += 1

    def _value(self, path: KeyPath) -> None:
        first = self._peek()
        if first in "\"'":
            self._take(STRING)
        elif first == "[":
            self._at += 1
            self._array(path)
        elif first == "{":
            self._at += 1
            self._inline_table(path)
        else:
            self._take(PLAIN_VALUE)

    def _array(self, path: KeyPath) -> None:
        index = 0
        while (next_ := self._peek()) != "]":
            if next_ == ",":
                self._at += 1
                continue
            self._mark((*path, index), self._line())
            self._value((*path, index))
            index += 1
        self._at += 1

    def _inline_table(self, path: KeyPath) -> None:
        while (next_ := self._peek()) != "}":
            if next_ == ",":
                self._at += 1
            else:
                self._pair(path)
        self._at += 1
