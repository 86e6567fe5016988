"""HTML: the content of the page, its encodings, and markup that nests without end."""

import pytest

from penstock.knowledge.loaders.html import load_html

PAGE = """<!doctype html><html><head><title>Harbour &amp; handbook</title><style>p {}</style></head><body>
<nav><a href="/">Home</a></nav><header><h1>Rules</h1></header>
<main><p>The <b>harbour</b> master
   decides.<br>Nobody else.</p><script>alert("no")</script><p hidden>secret</p>
<div style="display: none">secret</div>
<h2 id="m">Moorings <a aria-hidden="true" href="#m">#</a></h2><div>Let by the night.<p>In <i>euros</i>.</p>or more
</div>
<ul><li>ropes</li><li>fenders<ol start="3"><li>new</li><li>old</li></ol></li></ul>
<pre>  tie(
    rope)</pre>
<table><tr><th>ship</th><th>euros</th></tr><tr><td>any
 size</td><td>12</td></tr></table><img src="x" alt="A map of the harbour"></main>
<footer>Copyright</footer></body></html>"""


def test_what_a_reader_sees_comes_out_in_blocks() -> None:
    document = load_html(PAGE.encode())
    assert document.title == "Harbour & handbook"
    assert [(block.kind, block.level, document.text[block.start : block.end]) for block in document.blocks] == [
        ("paragraph", 0, "The harbour master decides.\nNobody else."),
        ("heading", 2, "Moorings"),
        ("paragraph", 0, "Let by the night."),
        ("paragraph", 0, "In euros."),
        ("paragraph", 0, "or more"),
        ("paragraph", 0, "- ropes"),
        ("paragraph", 0, "- fenders"),
        ("paragraph", 0, "3. new"),
        ("paragraph", 0, "4. old"),
        ("code", 0, "  tie(\n    rope)"),
        ("table", 0, "ship | euros\nany size | 12"),
        ("paragraph", 0, "A map of the harbour"),
    ]
    assert "- ropes\n- fenders\n3. new\n4. old" in document.text


def test_a_page_without_a_main_element_is_read_whole_and_named_by_its_heading() -> None:
    document = load_html(b"<h1>Rules</h1>All ships obey.<p>All ships pay.")
    assert document.text == "Rules\n\nAll ships obey.\n\nAll ships pay."
    assert document.title == "Rules"


def test_a_tiny_main_element_is_not_taken_for_the_content() -> None:
    text = "The whole story stands outside. " * 10
    assert "whole story" in load_html(f"<main>menu</main><div>{text}</div>".encode()).text


def test_a_table_that_lays_out_the_page_is_read_as_text() -> None:
    page = "<table><tr><td><table><tr><td>inner</td></tr></table><p>One.</p><p>Two.</p></td>"
    page += "<td>Three.</td></tr></table>"
    document = load_html(page.encode())
    assert [document.text[block.start : block.end] for block in document.blocks] == [
        "inner",
        "One.",
        "Two.",
        "Three.",
    ]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ('<meta charset="windows-1251"><p>Гавань</p>'.encode("windows-1251"), "Гавань"),
        (
            '<meta http-equiv="Content-Type" content="text/html; charset=shift_jis"><p>港の規則</p>'.encode(
                "shift_jis"
            ),
            "港の規則",
        ),
        ('<?xml version="1.0" encoding="iso-8859-1"?><html><body>Öl</body></html>'.encode("latin-1"), "Öl"),
        ("<p>Häfen</p>".encode("utf-16"), "Häfen"),
        ('<meta charset="ascii-or-so"><p>Häfen</p>'.encode(), "Häfen"),
        (b"<p>a &lt; b &#xD800; &eacute;", "a < b \ufffd é"),
    ],
)
def test_the_declared_encoding_is_used_where_it_is_true(data: bytes, text: str) -> None:
    assert load_html(data).text == text


def test_deep_nesting_is_no_recursion() -> None:
    assert load_html(b"<b><div>" * 3000 + b"deep").text == "deep"


def test_no_markup_at_all_is_text() -> None:
    assert load_html(b"just words").text == "just words"
    assert load_html(b"").text == ""
