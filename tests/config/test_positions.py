"""The scanner finds every key that the parser finds, on the line where it was written."""

import tomllib
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.config.positions import find_lines

SCALARS = st.sampled_from(
    [
        "1",
        "-0.5e3",
        "true",
        "1979-05-27 07:32:00",
        '"plain"',
        "'C:\\[not] {a} #table'",
        '"quo\\"te # no comment"',
        '"""\nlines = 1\n[not.a.table]\n"quoted" \\"" """',
        "'''\n'x' = ''\n'''",
        '""""""',
        "''''''",
        '"""a"""""',
        "''",
        '""',
    ]
)
BLANKS = st.sampled_from(["", "\n", "# [a.b]\n", "  \t# x = 1\n\n", "\r\n"])
KEYS = st.sampled_from(["a", "b-c", "d_1", '"quoted.key"', "'sin gle'", '"esc\\u0061ped"', '""', '"ключ"'])


class Writer:
    """Writes random TOML and notes the line of each thing it writes."""

    def __init__(self, draw: Callable[..., Any]) -> None:
        self.draw = draw
        self.text = ""
        self.lines: dict[tuple[str | int, ...], int] = {}

    def line(self) -> int:
        return self.text.count("\n") + 1

    def value(self, path: tuple[str | int, ...], depth: int) -> None:
        shape = self.draw(st.sampled_from(["scalar", "scalar", "array", "table"] if depth else ["scalar"]))
        if shape == "scalar":
            self.text += self.draw(SCALARS)
        elif shape == "array":
            self.text += "["
            for index in range(self.draw(st.integers(0, 3))):
                self.text += self.draw(BLANKS) + " "
                self.lines[(*path, index)] = self.line()
                self.value((*path, index), depth - 1)
                self.text += self.draw(BLANKS) + ","
            self.text += self.draw(BLANKS) + "]"
        else:
            keys = self.draw(st.lists(KEYS, unique=True, max_size=3))
            self.text += "{"
            for number, key in enumerate(keys):
                self.text += " , " if number else " "
                self.pair(path, [key], depth - 1)
            self.text += " }"

    def pair(self, table: tuple[str | int, ...], keys: list[str], depth: int) -> None:
        path = table
        for key in keys:
            path = (*path, *plain(key))
            self.lines.setdefault(path, self.line())
        self.text += self.draw(st.sampled_from([".", " . ", "\t."])).join(keys)
        self.text += self.draw(st.sampled_from(["=", " = ", "\t="]))
        self.value(path, depth)


def plain(key: str) -> tuple[str]:
    return (tomllib.loads(f"k = {key}")["k"] if key[0] in "\"'" else key,)


@st.composite
def documents(draw: Callable[..., Any]) -> Writer:
    writer = Writer(draw)
    if draw(st.booleans()):
        writer.text += draw(BLANKS)
        writer.pair((), ["top", draw(KEYS)], 3)
        writer.text += " # [top]\n"
    for name in draw(st.lists(st.sampled_from(["one", "two", "three"]), unique=True)):
        many = draw(st.booleans())
        for index in range(draw(st.integers(1, 3)) if many else 1):
            path: tuple[str | int, ...] = (name, index) if many else (name,)
            writer.text += draw(BLANKS) + "  "
            writer.lines.setdefault((name,), writer.line())
            writer.lines[path] = writer.line()
            writer.text += f"[[ {name} ]]\n" if many else f"[ {name}]  # [x]\n"
            for key in draw(st.lists(KEYS, unique=True, max_size=3)):
                writer.text += draw(BLANKS)
                writer.pair(path, [key], 3)
                writer.text += "\n"
            if draw(st.booleans()):
                writer.text += draw(BLANKS)
                writer.lines[(*path, "sub")] = writer.lines[(*path, "sub", "x y")] = writer.line()
                writer.text += f"[{name} . sub.'x y']\n"
                writer.pair((*path, "sub", "x y"), ["z"], 1)
                writer.text += "\n"
    return writer


def paths(value: Any, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = {path} if path else set()
    for key, item in inner:
        found |= paths(item, (*path, key))
    return found


@settings(max_examples=300, deadline=None)
@given(documents())
def test_every_key_is_found_on_its_line(document: Writer) -> None:
    parsed = tomllib.loads(document.text)
    lines = find_lines(document.text)
    assert set(lines) == paths(parsed)
    assert lines == document.lines


def test_a_table_that_a_dotted_key_makes_stands_where_the_key_stands() -> None:
    text = "x = 0\na.b.c = 1\na.b.d = 2\n[a.e]\nf = 3"
    assert find_lines(text) == {
        ("x",): 1,
        ("a",): 2,
        ("a", "b"): 2,
        ("a", "b", "c"): 2,
        ("a", "b", "d"): 3,
        ("a", "e"): 4,
        ("a", "e", "f"): 5,
    }
