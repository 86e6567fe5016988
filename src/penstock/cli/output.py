"""What commands print. To a terminal with colours and bars; to a pipe or a file as plain, unwrapped lines.

Answers go to standard output; progress, notes and errors go to standard error, so that `penstock ask … > file`
keeps only the answer.
"""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any, TextIO

from penstock.errors import PenstockError

if TYPE_CHECKING:
    from rich.console import Console

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

Piece = str | tuple[str, str]
"""A text, or a text with its style (`("ready", "bold green")`), as rich names styles."""


def say(*pieces: Piece, end: str = "\n") -> None:
    """Prints to standard output."""
    _write(sys.stdout, pieces, end)


def note(*pieces: Piece, end: str = "\n") -> None:
    """Prints to standard error: what a person wants to know and a script does not."""
    _write(sys.stderr, pieces, end)


def say_json(value: Any) -> None:
    """Prints one JSON value to standard output."""
    import msgspec

    plain = msgspec.to_builtins(value, enc_hook=str)
    sys.stdout.write(json.dumps(plain, indent=2, ensure_ascii=False) + "\n")


def complain(error: PenstockError) -> None:
    """Prints an error and what to do about it."""
    note(("error: ", "bold red"), sentence(error.message))
    if error.hint:
        note(("hint: ", "bold cyan"), error.hint)


def sentence(text: str) -> str:
    """With a capital first letter, where it starts with a plain word."""
    first = text.split(" ", 1)[0]
    return text[:1].upper() + text[1:] if first.isalpha() else text


def is_terminal(file: TextIO) -> bool:
    return file.isatty()


def console(file: TextIO) -> Console:
    """Rich, for a terminal: nothing is highlighted or read as markup unless asked."""
    from rich.console import Console

    return Console(file=file, highlight=False, markup=False, emoji=False)


def harmless(text: str) -> str:
    """Text of documents, models and callers, without what would drive a terminal."""
    return CONTROL.sub("", text)


def _write(file: TextIO, pieces: tuple[Piece, ...], end: str) -> None:
    pieces = tuple(
        harmless(piece) if isinstance(piece, str) else (harmless(piece[0]), piece[1]) for piece in pieces
    )
    if not is_terminal(file):
        file.write("".join(piece if isinstance(piece, str) else piece[0] for piece in pieces) + end)
        file.flush()
        return
    from rich.text import Text

    console(file).print(Text.assemble(*pieces), end=end, soft_wrap=True)


def bytes_in_words(size: float) -> str:
    """`87040` is `0.1 MB`, `98362432` is `98 MB`, `81597000000` is `81.6 GB`."""
    if size >= 1e9:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.0f} MB" if size >= 1e7 else f"{size / 1e6:.1f} MB"


def count(number: int, noun: str) -> str:
    """`1 document`, `1,204 documents`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
