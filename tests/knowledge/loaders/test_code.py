"""Source code: blocks at definitions, comments with what they stand above, lines as places."""

import pytest

from penstock.knowledge.loaders.code import load_code
from penstock.knowledge.loaders.places import Locator

PYTHON = """import os

LIMIT = 3


# How fees are found.
@cached
def fee(ship):
    return 12


class Harbour:
    def open(self):
        if self:
            return True
"""
C = """#include <stdio.h>

/* The fee
 * of a ship. */
int fee(const ship *one) {
    return 12;
}

static void close(void)
{
}
"""
TYPESCRIPT = """import { a } from "b";

/** The fee. */
export const fee = (ship: Ship) => {
  return 12;
};

export default class Harbour {
}
"""


@pytest.mark.parametrize(
    ("source", "starts"),
    [
        (PYTHON, ["import os", "# How fees are found.", "class Harbour:"]),
        (C, ["#include <stdio.h>", "/* The fee", "static void close(void)"]),
        (TYPESCRIPT, ['import { a } from "b";', "/** The fee. */", "export default class Harbour {"]),
        ("x = 1\n", ["x = 1"]),
    ],
)
def test_blocks_begin_at_definitions_and_what_belongs_to_them(source: str, starts: list[str]) -> None:
    document = load_code(source.encode())
    assert document.text == source
    assert [document.text[block.start :].split("\n")[0] for block in document.blocks] == starts
    assert "".join(document.text[block.start : block.end] for block in document.blocks) == source


def test_lines_are_told() -> None:
    document = load_code(PYTHON.encode())
    second = document.blocks[1]
    assert Locator(document.text, document.places).location(second.start, second.end) == "lines 6–11"
