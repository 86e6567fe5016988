"""What holds for every way to cut, and what each is for."""

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.passage_texts import PROSE, splits_character, structured

from penstock.knowledge.chunking import Block, ChunkOptions, Passage, Strategy, chunk, estimate_tokens
from penstock.knowledge.chunking.semantic import join_by_meaning, semantic_grains
from penstock.knowledge.chunking.units import merged
from penstock.knowledge.loaders.markdown import load_markdown
from penstock.knowledge.loaders.text import load_text

ALL: list[Strategy] = ["structure", "sentences", "semantic", "code", "parents"]
CALM = "Nothing is as calm as a harbour at night. Every ship has found its place. The ropes are tied."
STARS = "Stars are spheres of plasma. The nearest star is the sun. Its light takes eight minutes."


def cut(text: str, blocks: list[Block], options: ChunkOptions) -> list[Passage]:
    """Any strategy; vectors that say nothing for the one that needs some."""
    if options.strategy != "semantic":
        return chunk(text, blocks, options)
    grains = semantic_grains(text, blocks, options)
    vectors = [np.full(4, 0.5, np.float32) for _ in grains]
    units = [merged(grains[low:high]) for low, high in join_by_meaning(grains, vectors, options)]
    return [Passage(unit.start, unit.end, unit.heading) for unit in units]


@pytest.mark.parametrize("strategy", ALL)
@settings(max_examples=60)
@given(structured(), st.integers(4, 60))
@example(("a" * 1000, []), 10)
@example(("漢" * 500, []), 7)
@example(("\u0301" * 50, []), 4)
@example(("🇩🇪" * 100, []), 5)
@example(("def f():\n    return 1\n\n\nclass A:\n    x = 1\n" * 9, [Block("code", 0, 344)]), 12)
def test_every_character_once_in_order_and_within_the_budget(
    strategy: Strategy, document: tuple[str, list[Block]], limit: int
) -> None:
    text, blocks = document
    passages = cut(text, blocks, ChunkOptions(strategy=strategy, tokens=limit, parent_tokens=4 * limit))
    end = 0
    for passage in passages:
        assert end <= passage.start < passage.end <= len(text)
        assert not text[end : passage.start].strip()
        assert text[passage.start : passage.end] == text[passage.start : passage.end].strip()
        assert estimate_tokens(text[passage.start : passage.end]) <= limit
        end = passage.end
    assert not text[end:].strip()


@pytest.mark.parametrize("strategy", ALL)
@settings(max_examples=60)
@given(PROSE, st.integers(20, 60))
def test_no_character_is_cut_and_no_word_that_is_not_too_long_alone(
    strategy: Strategy, text: str, limit: int
) -> None:
    options = ChunkOptions(strategy=strategy, tokens=limit, parent_tokens=4 * limit)
    for passage in cut(text, [], options):
        for at in (passage.start, passage.end):
            assert not splits_character(text, at)
            if 0 < at < len(text) and not text[at - 1].isspace() and not text[at].isspace():
                before = text[:at].split()[-1]
                # Sentences of scripts without spaces end inside what looks like a word.
                assert estimate_tokens(before + text[at:].split()[0]) > limit or before[-1] in "。！"


@settings(max_examples=60)
@given(structured(), st.integers(16, 60), st.integers(1, 8))
def test_an_overlap_repeats_whole_sentences_within_the_budget(
    document: tuple[str, list[Block]], limit: int, overlap: int
) -> None:
    text, blocks = document
    plain = chunk(text, blocks, ChunkOptions(tokens=limit - overlap))
    passages = chunk(text, blocks, ChunkOptions(tokens=limit, overlap=overlap))
    assert [passage.end for passage in passages] == [passage.end for passage in plain]
    for before, own, passage in zip(plain, plain[1:], passages[1:], strict=False):
        assert before.start < passage.start <= own.start
        assert estimate_tokens(text[passage.start : own.start]) <= overlap
        assert estimate_tokens(text[passage.start : passage.end]) <= limit


@settings(max_examples=60)
@given(structured(), st.integers(8, 30))
def test_children_lie_in_parents_that_hold_everything_once(document: tuple[str, list[Block]], limit: int) -> None:
    text, blocks = document
    passages = chunk(text, blocks, ChunkOptions(strategy="parents", tokens=limit, parent_tokens=4 * limit))
    end = 0
    for low, high in dict.fromkeys(passage.parent for passage in passages if passage.parent):
        assert end <= low < high and not text[end:low].strip()
        assert estimate_tokens(text[low:high]) <= 4 * limit
        end = high
    assert not text[end:].strip()
    assert all(each.parent and each.parent[0] <= each.start < each.end <= each.parent[1] for each in passages)


def test_a_long_section_is_cut_where_it_begins_to_speak_of_something_else() -> None:
    harbour = "Ships sleep in this calm harbour tonight. " * 2
    stars = "Burning stars warm distant planets for ages. " * 5
    text = harbour + stars
    passages = chunk(text, [], ChunkOptions(tokens=60))
    assert [text[passage.start :].split()[0] for passage in passages] == ["Ships", "Burning"]
    assert passages[0].end < len(text) / 3


def test_meaning_decides_where_words_say_nothing() -> None:
    sentences = [
        "Ein Schiff liegt hier.",
        "Ruderboote schaukeln leise.",
        "Sonnen glühen.",
        "Planeten kreisen weit.",
    ]
    text = "\n\n".join(sentences)
    options = ChunkOptions(strategy="semantic", tokens=16)
    grains = semantic_grains(text, load_text(text.encode()).blocks, options)
    sea, sky = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    vectors = [sea if grain.start < text.index("Sonnen") else sky for grain in grains]
    starts = [grains[low].start for low, _ in join_by_meaning(grains, vectors, options)]
    assert starts == [0, text.index("Sonnen")]


def test_windows_have_so_many_sentences_and_begin_at_headings() -> None:
    document = load_markdown(f"# Calm\n\n{CALM}\n\n# Stars\n\n{STARS}\n".encode())
    passages = chunk(document.text, document.blocks, ChunkOptions(strategy="sentences", sentences=2))
    bodies = [document.text[passage.start : passage.end] for passage in passages]
    assert [body.split("\n")[0].split(".")[0] for body in bodies] == [
        "Calm",
        "The ropes are tied",
        "Stars",
        "Its light takes eight minutes",
    ]
    assert [passage.heading for passage in passages] == [("Calm",), ("Calm",), ("Stars",), ("Stars",)]


def test_options_that_cut_alike_have_one_recipe_and_others_have_not() -> None:
    here = ChunkOptions(vocabulary="/a/tokenizer.json", vocabulary_digest="ab" * 32)
    assert here.recipe == msgspec.structs.replace(here, vocabulary="/b/tokenizer.json").recipe
    different = [
        ChunkOptions(),
        here,
        ChunkOptions(tokens=100),
        ChunkOptions(overlap=20),
        ChunkOptions(strategy="sentences"),
        ChunkOptions(strategy="sentences", sentences=3),
        ChunkOptions(strategy="parents"),
        ChunkOptions(strategy="parents", parent_tokens=500),
    ]
    assert len({options.recipe for options in different}) == len(different)
    assert ChunkOptions(sentences=3).recipe == ChunkOptions().recipe
