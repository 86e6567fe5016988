"""Text that comes in pieces is broken at spaces, whatever the pieces are, and nothing of it is lost."""

import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from penstock.cli import output
from penstock.cli.prose import Prose


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


WORDS = st.lists(st.text("abcé社", min_size=1, max_size=12), max_size=60)


@given(WORDS, st.lists(st.integers(1, 400), max_size=20))
def test_prose_fits_and_stays_whole(words: list[str], cuts: list[int]) -> None:
    text = " ".join(words)
    edges = [0, *sorted(set(cuts)), len(text)]
    with pytest.MonkeyPatch.context() as patch:
        screen = Terminal()
        patch.setattr("sys.stdout", screen)
        patch.setenv("COLUMNS", "30")
        patch.setenv("TERM", "dumb")
        prose = Prose()
        for start, end in itertools.pairwise(edges):
            prose.write(text[start:end])
        prose.end()
    shown = screen.getvalue()
    assert shown.split() == words
    assert all(cell_len(line.rstrip()) <= 29 for line in shown.splitlines())
    assert shown.endswith("\n") or not text


def test_in_a_pipe_it_comes_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    prose = Prose()
    for piece in ("x" * 300, " y\n\nz"):
        prose.write(piece)
    prose.end()
    assert capsys.readouterr().out == "x" * 300 + " y\n\nz\n"
    prose.write("whole\n")
    prose.end()
    assert capsys.readouterr().out == "whole\n"


@pytest.mark.parametrize(
    ("size", "words"), [(87_040, "0.1 MB"), (98_362_432, "98 MB"), (81_597_000_000, "81.6 GB"), (0, "0.0 MB")]
)
def test_sizes(size: int, words: str) -> None:
    assert output.bytes_in_words(size) == words
