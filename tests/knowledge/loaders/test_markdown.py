"""Markdown: what a reader sees, in blocks that follow its structure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.knowledge.loaders.base import Unloadable
from penstock.knowledge.loaders.markdown import load_markdown

PAGE = """---
title: "Harbour handbook"
date: 2026-01-01
---
# Rules

The *harbour* **master** decides, see [the law](https://example.org/law "x") and `tie()`.
Nobody else ![does](x.png "t").\\
Really. <!-- not this --> A<br>B

Moorings
--------

* ropes
* fenders

  made of rubber
  1. new
  2. old

3. third
4. fourth

> Quoted ~~words~~.

```python
tie(
    rope)
```

    indented code

| ship | euros |
|------|:-----:|
| any *size* | 12 |

<div>Raw <b>html</b></div>

&copy; 2026
"""


def test_structure_becomes_blocks_and_marks_are_taken_off() -> None:
    document = load_markdown(PAGE.encode())
    assert document.title == "Harbour handbook"
    assert [(block.kind, block.level, document.text[block.start : block.end]) for block in document.blocks] == [
        ("heading", 1, "Rules"),
        ("paragraph", 0, "The harbour master decides, see the law and tie(). Nobody else does.\nReally.  A\nB"),
        ("heading", 2, "Moorings"),
        ("paragraph", 0, "- ropes"),
        ("paragraph", 0, "- fenders"),
        ("paragraph", 0, "made of rubber"),
        ("paragraph", 0, "1. new"),
        ("paragraph", 0, "2. old"),
        ("paragraph", 0, "3. third"),
        ("paragraph", 0, "4. fourth"),
        ("paragraph", 0, "Quoted words."),
        ("code", 0, "tie(\n    rope)"),
        ("code", 0, "indented code"),
        ("table", 0, "ship | euros\nany size | 12"),
        ("paragraph", 0, "Raw html"),
        ("paragraph", 0, "© 2026"),
    ]
    assert "- ropes\n- fenders\nmade of rubber\n1. new\n2. old" in document.text


def test_the_title_is_the_first_heading_where_there_is_no_front_matter() -> None:
    assert load_markdown(b"text\n\n## Second\n\n# First *of all*\n\n# Another\n").title == "First of all"
    assert load_markdown(b"only text").title == ""


def test_front_matter_that_is_none_stays_text() -> None:
    assert load_markdown(b"---\n\nAfter a rule.").text == "After a rule."
    assert load_markdown(b"---\n: [broken\n---\nBody").text == "Body"


def test_what_is_nested_too_deep_is_said_to_be_left_out() -> None:
    deep = load_markdown(b"> " * 90 + b"deep\n\nend\n")
    assert (deep.status, deep.text) == ("ok", "deep\n\nend")
    deeper = load_markdown(b"> " * 110 + b"deep\n\nend\n")
    assert (deeper.status, deeper.text) == ("partial", "end")
    assert deeper.reason == "What is nested more than 100 levels deep was left out."
    with pytest.raises(Unloadable, match="more than 100 levels deep"):
        load_markdown(b"> " * 20_000 + b"deep")


@given(st.text(alphabet=st.sampled_from("ab#*_`[]()!<>|-+1.\n \t~&\\é漢"), max_size=200))
def test_any_markdown_gives_blocks_that_hold_its_whole_text(source: str) -> None:
    document = load_markdown(source.encode())
    covered = "".join(document.text[block.start : block.end] for block in document.blocks)
    assert "".join(covered.split()) == "".join(document.text.split())
