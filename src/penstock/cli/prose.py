"""Text that fits a terminal, broken at spaces. In a pipe nothing is broken."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from typing import TextIO

from penstock.cli.output import harmless, is_terminal, say


def indented(text: str, indent: str, file: TextIO | None = None) -> str:
    """A paragraph with its indent: on a terminal broken into lines that fit, else one line."""
    if not is_terminal(file or sys.stdout):
        return indent + text
    return textwrap.fill(text, line_width(), initial_indent=indent, subsequent_indent=indent)


def line_width() -> int:
    """Columns that a line of prose may take on the terminal."""
    return min(100, shutil.get_terminal_size().columns - 1)


class Prose:
    """Text that comes in pieces, broken at spaces to fit a terminal; as it comes, elsewhere."""

    def __init__(self) -> None:
        self._width = line_width() if is_terminal(sys.stdout) else 0
        self._column = 0
        self._word = ""

    def write(self, text: str) -> None:
        """Prints what is complete: the last word waits until it is known where it ends."""
        if not self._width:
            self._column = self._column + len(text) if not text.endswith("\n") else 0
            say(text, end="")
            return
        *whole, self._word = re.split(r"(\s)", harmless(self._word + text))
        say("".join(map(self._placed, whole)), end="")

    def end(self) -> None:
        """Prints what waits, and ends the line unless that was done."""
        word, self._word = self._word, ""
        say(self._placed(word) if word else "", end="\n" if self._column else "")

    def _placed(self, piece: str) -> str:
        """A word or a single space, with the line break that must come before it or take its place."""
        from rich.cells import cell_len

        width = cell_len(piece)
        if piece == "\n":
            self._column = 0
        elif piece.isspace():
            self._column += 1
        elif self._column and self._column + width > self._width:
            self._column = width
            return f"\n{piece}"
        else:
            self._column += width
        return piece
