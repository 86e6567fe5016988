"""Sentences: exact ranges, nothing lost, and the cases that naive splitters get wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.knowledge.sentences import LONGEST, split_sentences

ALPHABET = "ab Z.!?…\n\t-*#|()[]\"'“”。？！१।「」123,;:é\u00a0"


def sentences(text: str) -> list[str]:
    return [text[span.start : span.end] for span in split_sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("He met Dr. Smith. They talked.", ["He met Dr. Smith.", "They talked."]),
        ("J. F. Kennedy spoke at 5 p.m. on Jan. 5.", ["J. F. Kennedy spoke at 5 p.m. on Jan. 5."]),
        ("She lives in Washington D.C. He does not.", ["She lives in Washington D.C.", "He does not."]),
        ("It costs $3.5 million. That is 2.5%.", ["It costs $3.5 million.", "That is 2.5%."]),
        ("See Fig. 2 (e.g. the U.S. Army). Done.", ["See Fig. 2 (e.g. the U.S. Army).", "Done."]),
        ('"Is it true?" he asked. "Yes!" It was.', ['"Is it true?" he asked.', '"Yes!"', "It was."]),
        ("It ended in 1945.[3] Peace came.[1, 2]", ["It ended in 1945.[3]", "Peace came.[1, 2]"]),
        ("(It was late. Very late.) We left.", ["(It was late. Very late.)", "We left."]),
        ("No. 5 is alive. What?! Really...", ["No. 5 is alive.", "What?!", "Really..."]),
        ("Apple Inc. is big. The company grew.", ["Apple Inc. is big.", "The company grew."]),
        ("Trinity-St. Paul's Church stands.", ["Trinity-St. Paul's Church stands."]),
        ("これは文です。「はい。」と言った。次！", ["これは文です。", "「はい。」と言った。", "次！"]),
        ("هذه جملة. وهذه أخرى؟ نعم.", ["هذه جملة.", "وهذه أخرى؟", "نعم."]),
        ("यह एक है। यह दो है।", ["यह एक है।", "यह दो है।"]),
        ("Title\n\nFirst line\nstill first. Second.", ["Title", "First line\nstill first.", "Second."]),
        ("Buy:\n- one apple\n- two pears\n1. Pay", ["Buy:", "- one apple", "- two pears", "1. Pay"]),
        ("# Heading\nText.", ["# Heading", "Text."]),
        ("| a | 1. | b |\n| c | 2 | d |", ["| a | 1. | b |", "| c | 2 | d |"]),
        (
            "Roles:\nname | what it may do | since\nviewer | Sees all. May ask (by default). | 1.0\nadmin |  | 2",
            [
                "Roles:",
                "name | what it may do | since",
                "viewer | Sees all. May ask (by default). | 1.0",
                "admin |  | 2",
            ],
        ),
        ("Use a | b here. Then\ngo on.", ["Use a | b here.", "Then\ngo on."]),
        ("a | b\nc | d. E |\n\nText. More.", ["a | b", "c | d. E |", "Text.", "More."]),
        ("", []),
        (" \n\t ", []),
    ],
)
def test_where_sentences_end(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@given(st.text(alphabet=ALPHABET, max_size=400) | st.text(max_size=200))
def test_nothing_is_lost_and_nothing_overlaps(text: str) -> None:
    spans = split_sentences(text)
    at = 0
    for span in spans:
        assert at <= span.start < span.end <= len(text)
        assert not text[at : span.start].strip(), "only white space lies between sentences"
        assert text[span.start : span.end] == text[span.start : span.end].strip()
        at = span.end
    assert not text[at:].strip()


@given(st.text(alphabet=ALPHABET, max_size=200), st.integers(0, 200), st.integers(0, 200))
def test_a_range_of_a_text_has_offsets_into_the_whole(text: str, start: int, length: int) -> None:
    start = min(start, len(text))
    inner = text[start : start + length]
    whole = [text[span.start : span.end] for span in split_sentences(text, start, start + length)]
    assert "".join("".join(whole).split()) == "".join(inner.split())


@given(st.text(alphabet="ab ,;", min_size=LONGEST, max_size=3 * LONGEST))
def test_a_run_without_an_end_is_cut(text: str) -> None:
    assert all(span.end - span.start <= LONGEST for span in split_sentences(text))


@pytest.mark.parametrize(
    "piece", ["(a. ", "[1]", ".", ". ", "[", ")", "\n", "| ", "a. [", "“. ", "a", "- \n", "。「"]
)
def test_no_text_takes_time_out_of_proportion(piece: str) -> None:
    """Were the time not in proportion to the length, a million characters would take hours."""
    text = piece * (1_000_000 // len(piece))
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())
