"""Passages: their ranges, their bounds, and that they follow the structure of the text."""

from hypothesis import example, given
from hypothesis import strategies as st
from support.passage_texts import PROSE, structured

from penstock.knowledge.chunking import Block, ChunkOptions, chunk, embedding_text, estimate_tokens
from penstock.knowledge.loaders.markdown import load_markdown


@given(structured(), st.integers(4, 60))
@example(("a" * 1000, []), 10)
@example(("漢" * 500, []), 7)
@example(("\u0301" * 50, []), 4)
def test_passages_hold_everything_once_in_order_and_within_bounds(
    document: tuple[str, list[Block]], limit: int
) -> None:
    text, blocks = document
    passages = chunk(text, blocks, ChunkOptions(tokens=limit))
    end = 0
    for passage in passages:
        assert end <= passage.start < passage.end <= len(text)
        assert not text[end : passage.start].strip()
        assert text[passage.start] != " " and not text[passage.start : passage.end].isspace()
        assert estimate_tokens(text[passage.start : passage.end]) <= limit
        end = passage.end
    assert not text[end:].strip()


@given(PROSE, st.integers(20, 60))
def test_no_word_is_cut_unless_it_is_too_long_alone(text: str, limit: int) -> None:
    for passage in chunk(text, [], ChunkOptions(tokens=limit)):
        for at in (passage.start, passage.end):
            if 0 < at < len(text) and not text[at - 1].isspace() and not text[at].isspace():
                before = text[:at].split()[-1]
                word = before + text[at:].split()[0]
                # Sentences of scripts without spaces end inside what looks like a word.
                assert estimate_tokens(word) > limit or before[-1] in "。！"


def test_a_section_is_a_passage_and_knows_the_headings_above_it() -> None:
    body = "Nothing is as calm as a harbour at night, when every ship has found its place. " * 3
    source = f"# Harbour\n\n{body}\n\n## Rules\n\n{body}\n\n### Radio\n\n{body}\n\n## Fees\n\n{body}\n"
    document = load_markdown(source.encode())
    passages = chunk(document.text, document.blocks, ChunkOptions())
    assert [passage.heading for passage in passages] == [
        ("Harbour",),
        ("Harbour", "Rules"),
        ("Harbour", "Rules", "Radio"),
        ("Harbour", "Fees"),
    ]
    assert [document.text[passage.start :].split("\n")[0] for passage in passages] == [
        "Harbour",
        "Rules",
        "Radio",
        "Fees",
    ]


def test_a_heading_stays_with_its_text_and_a_section_keeps_its_own_tail() -> None:
    long = "Nothing is as calm as a harbour at night, when every ship has found its place. " * 2
    document = load_markdown(f"# Calm\n\n{long}\n\n## Fees\n\nA night costs twelve euros.".encode())
    passages = chunk(document.text, document.blocks, ChunkOptions(tokens=36))
    assert [passage.heading for passage in passages] == [("Calm",), ("Calm",), ("Calm", "Fees")]
    assert document.text[passages[0].start : passages[0].end].startswith("Calm\n\nNothing")
    assert document.text[passages[2].start :] == "Fees\n\nA night costs twelve euros."


def test_short_sections_join_under_the_heading_they_share() -> None:
    document = load_markdown(b"# Words\n\n## Bow\n\nThe front.\n\n## Stern\n\nThe back.\n\n## Hull\n\nThe body.\n")
    [passage] = chunk(document.text, document.blocks, ChunkOptions())
    assert passage.heading == ("Words",)
    assert document.text[passage.start : passage.end] == document.text


def test_code_and_tables_stay_whole_where_they_fit_and_are_cut_between_lines_where_not() -> None:
    code = "\n".join(f"call({number}, rope)" for number in range(12))
    text = f"Tie the rope like this, and mind the order of the calls below.\n\n{code}\n\nDone."
    start = text.index("call(")
    block = Block("code", start, start + len(code))
    whole = chunk(text, [block], ChunkOptions(tokens=80))
    assert code in [text[passage.start : passage.end].removesuffix("\n\nDone.") for passage in whole]
    cut = chunk(text, [block], ChunkOptions(tokens=30))
    for passage in cut:
        assert all(line in text.split("\n") for line in text[passage.start : passage.end].split("\n"))


def test_a_long_paragraph_is_cut_between_sentences_into_even_parts() -> None:
    sentence = "The harbour master decides whether a ship may enter. "
    text = (sentence * 30).strip()
    passages = chunk(text, [], ChunkOptions())
    sizes = [estimate_tokens(text[passage.start : passage.end]) for passage in passages]
    assert all(text[passage.start : passage.end].endswith(".") for passage in passages)
    assert min(sizes) > 0.7 * max(sizes)


def test_headings_are_embedded_with_a_passage_that_does_not_begin_with_them() -> None:
    assert embedding_text(("Harbour", "Rules"), "Ships obey.") == "Harbour › Rules\nShips obey."
    assert embedding_text(("Harbour", "Rules"), "Rules\n\nShips obey.") == "Harbour\nRules\n\nShips obey."
    assert embedding_text((), "Ships obey.") == "Ships obey."
