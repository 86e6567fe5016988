"""Source code along its syntax."""

import pytest

from penstock.knowledge.chunking import Block, ChunkOptions, Passage, chunk

PYTHON = '''
"""Ropes."""

import math


class Rope:
    """A line that holds a ship to the shore, whatever the wind and the tide do to it in the night."""

    def __init__(self, length: float, strength: float) -> None:
        self.length = length
        self.strength = strength

    # How much it gives.
    @property
    def stretch(self) -> float:
        return self.length * math.sqrt(self.strength)

    def tied(self, cleat: str) -> str:
        if not cleat:
            raise ValueError("a rope is tied to something")
        return f"{self.length} m on {cleat}"


def longest(ropes: list[Rope]) -> Rope:
    return max(ropes, key=lambda rope: rope.length)
'''.strip()
JAVASCRIPT = """
class Rope {
  constructor(length, strength) {
    this.length = length;
    this.strength = strength;
  }

  stretch() {
    return this.length * Math.sqrt(this.strength) + this.slack() + this.age;
  }
}

function longest(ropes) {
  return ropes.reduce((one, other) => (one.length > other.length ? one : other));
}
""".strip()


def pieces(source: str, limit: int) -> list[tuple[str, Passage]]:
    options = ChunkOptions(strategy="code", tokens=limit)
    return [
        (source[each.start : each.end], each) for each in chunk(source, [Block("code", 0, len(source))], options)
    ]


def test_python_is_cut_between_methods_which_know_their_class() -> None:
    found = {text.strip().split("\n")[0]: passage.heading for text, passage in pieces(PYTHON, 60)}
    assert found["# How much it gives."] == ("class Rope",)
    assert found["def tied(self, cleat: str) -> str:"] == ("class Rope",)
    assert found["def longest(ropes: list[Rope]) -> Rope:"] == ()


def test_other_languages_are_cut_along_their_indentation() -> None:
    texts = [text for text, _ in pieces(JAVASCRIPT, 50)]
    assert any(text.startswith("stretch() {") and text.endswith("}") for text in texts)
    assert any(text.startswith("function longest") and text.endswith("}") for text in texts)
    under = {text.split("\n")[0].strip(): passage.heading for text, passage in pieces(JAVASCRIPT, 50)}
    assert under["stretch() {"] == ("class Rope",)


@pytest.mark.parametrize(
    "source",
    [
        "def broken(:\n    return\n" * 20,
        "x = (\n" * 300,
        "\f\n\x0bdef f():\n    pass\n" * 20,
        "if a:\n" + "".join(" " * depth + "if b:\n" for depth in range(1, 300)),
        "\t\tindented = 1\nleft = 2\n" * 20,
        "}" * 500,
        "class A:\n    x = '''\nleft\n'''\n" * 20,
        "def f(): return 1; x = 2\n" * 30,
        "\\\n" * 100,
    ],
)
def test_code_that_no_parser_likes_is_cut_all_the_same(source: str) -> None:
    end = 0
    for text, passage in pieces(source, 40):
        assert text and not source[end : passage.start].strip()
        end = passage.end
    assert not source[end:].strip()


def test_prose_beside_code_is_cut_as_ever() -> None:
    prose = "Nothing is as calm as a harbour at night. " * 20
    text = f"{prose}\n\n{PYTHON}"
    blocks = [Block("paragraph", 0, len(prose)), Block("code", len(prose) + 2, len(text))]
    by_code = chunk(text, blocks, ChunkOptions(strategy="code", tokens=60))
    by_structure = chunk(text, blocks, ChunkOptions(tokens=60))
    start = len(prose)
    assert [each.start for each in by_code if each.end < start] == [
        each.start for each in by_structure if each.end < start
    ]
