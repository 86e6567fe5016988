"""The catalog: what it states is complete, and a misspelt name is answered with the right one."""

import re

import pytest

from penstock.errors import ModelNotFound
from penstock.models.catalog import catalog, lookup
from penstock.models.sources.address import parse


def test_the_defaults_are_there() -> None:
    assert lookup("smollm2-135m-instruct").kind == "chat"
    encoder = lookup("all-minilm-l6-v2")
    assert (encoder.kind, encoder.context, encoder.dimensions) == ("embedding", 256, 384)


@pytest.mark.parametrize("card", catalog(), ids=lambda card: card.name)
def test_every_card_states_what_a_pull_needs(card) -> None:
    assert card.licence and card.description and card.homepage.startswith("https://")
    assert card.files and card.sources
    for file in card.files:
        assert file.size and re.fullmatch("[0-9a-f]{64}", file.sha256)
    for source in card.sources:
        parse(source)
    assert (card.dimensions is not None) == (card.kind == "embedding")


def test_names_are_unique() -> None:
    names = [card.name for card in catalog()]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("smolm2", "smollm2-135m-instruct"),
        ("SmolLM2-135M-Instruct", "smollm2-135m-instruct"),
        ("all-MiniLM-L6-v2", "all-minilm-l6-v2"),
        ("all-minilm", "all-minilm-l6-v2"),
        ("all_minilm_l6_v2", "all-minilm-l6-v2"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_nearest(written: str, meant: str) -> None:
    with pytest.raises(ModelNotFound, match=f"model '{written}' is not in the catalog; did you mean '{meant}'"):
        lookup(written)


def test_a_name_like_no_other_lists_what_there_is() -> None:
    with pytest.raises(ModelNotFound, match=r"'gpt5' is not in the catalog\. The catalog has smollm2"):
        lookup("gpt5")
