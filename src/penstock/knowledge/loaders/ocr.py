"""Pages without text, read from their picture by Tesseract, where it is installed on the machine.

Tesseract runs as a program: it takes the picture on its standard input, has the memory limit of the process that
reads files, one thread and a time limit, and dies with that process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache

from msgspec import Struct

from penstock.process import die_with_parent

PROGRAM = "tesseract"
DPI = 300
MOST_PIXELS = 25_000_000
SHORTEST = 1.0
"""Seconds; with less than that left, a page is not begun."""
LONGEST = 600.0
"""Seconds for one page, whatever the time for its file."""
MOST_LANGUAGES = 4
SUREST = 60.0
"""Words of a page must be this sure on average, 0 to 100; pictures that show no text are read to words that are
not."""
FEWEST_LETTERS = 3


class Picture(Struct, frozen=True):
    """A page in shades of grey: `stride` bytes a line, of which the first `width` count."""

    width: int
    height: int
    stride: int
    data: bytes


def installed() -> bool:
    return shutil.which(PROGRAM) is not None


def lacking(wanted: Sequence[str]) -> list[str]:
    """The languages among these that are not installed."""
    return [each for each in wanted if each not in known_languages()] if wanted else []


def install(wanted: Sequence[str]) -> str:
    """The command that installs those of these languages that are not."""
    packages = " ".join(f"tesseract-ocr-{name.replace('_', '-')}" for name in lacking(wanted))
    return f"`apt-get install {packages}`"


def read(picture: Picture, seconds: float, wanted: Sequence[str] = ()) -> list[str]:
    """The paragraphs of a page in these languages, by default those that are installed; none where it shows no
    text. Raises `TimeoutError` after so many seconds."""
    language = "+".join(wanted) or few_languages()
    try:
        found = run(["stdin", "stdout", "--dpi", str(DPI), "-l", language, "tsv"], seconds, as_pgm(picture))
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    return paragraphs(found.decode("utf-8", "replace"))


def run(arguments: list[str], seconds: float, picture: bytes = b"") -> bytes:
    """What Tesseract writes, nothing where it fails. Raises `subprocess.TimeoutExpired`."""
    done = subprocess.run(
        [PROGRAM, *arguments],
        input=picture,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=min(seconds, LONGEST),
        env={**os.environ, "OMP_THREAD_LIMIT": "1"},
        preexec_fn=die_with_parent if sys.platform == "linux" else None,
        check=False,
    )
    return done.stdout if done.returncode == 0 else b""


def installed_languages() -> list[str]:
    """What text can be read in, by Tesseract's names."""
    listed = run(["--list-langs"], SHORTEST * 10).decode("utf-8", "replace").splitlines()[1:]
    return [name for name in listed if name not in ("osd", "equ")]


@cache
def known_languages() -> tuple[str, ...]:
    """Those that were installed when this process first asked."""
    return tuple(installed_languages())


def few_languages() -> str:
    """Those that are installed, as long as they are few: each one takes its time on every page."""
    known = [name for name in known_languages() if "/" not in name]
    return "+".join(known) if 0 < len(known) <= MOST_LANGUAGES else "eng"


def as_pgm(picture: Picture) -> bytes:
    rows = memoryview(picture.data)
    lines = [rows[at * picture.stride : at * picture.stride + picture.width] for at in range(picture.height)]
    return b"P5 %d %d 255\n" % (picture.width, picture.height) + b"".join(lines)


def paragraphs(table: str) -> list[str]:
    """Tesseract's table of words as paragraphs, words divided at a line's end joined."""
    found: dict[tuple[str, ...], list[str]] = {}
    sure: list[float] = []
    line: tuple[str, ...] = ()
    for row in table.splitlines()[1:]:
        cells = row.split("\t")
        if len(cells) != 12 or not cells[11].strip():
            continue
        words = found.setdefault(tuple(cells[2:4]), [])
        sure.append(float(cells[10]))
        divided = words and line != tuple(cells[2:5]) and words[-1].endswith("-") and cells[11][:1].islower()
        if divided:
            words[-1] = words[-1][:-1] + cells[11]
        else:
            words.append(cells[11])
        line = tuple(cells[2:5])
    texts = [" ".join(words) for words in found.values()]
    letters = sum(char.isalnum() for text in texts for char in text)
    if not sure or letters < FEWEST_LETTERS or sum(sure) / len(sure) < SUREST:
        return []
    return texts
