"""Names to targets."""

import pytest
from support.gateway_site import embedder, model

from penstock.errors import ConfigError, InvalidRequest, ModelNotFound, UnsupportedFeature
from penstock.gateway.registry import Registry, listed


def test_a_name_stands_for_one_thing() -> None:
    registry = Registry([model(name="a")])
    with pytest.raises(ConfigError, match="Two things are called 'a'"):
        registry.add(model(name="a"))


def test_the_nearest_name_is_told() -> None:
    registry = Registry([model(name="gpt-5"), model(name="Handbook"), embedder()])
    with pytest.raises(ModelNotFound) as caught:
        registry.get("gpt5")
    assert caught.value.message == "Model 'gpt5' is not configured; did you mean 'gpt-5'?"
    assert caught.value.hint == (
        "Served are gpt-5, Handbook, vectors. Others are added under [models] in penstock.toml."
    )
    with pytest.raises(ModelNotFound, match="did you mean 'Handbook'"):
        registry.get("handbok")


def test_a_name_answers_what_it_can() -> None:
    registry = Registry([model(name="a"), embedder("e")])
    assert registry.resolve("a", "complete").name == "a"
    with pytest.raises(UnsupportedFeature, match=r"'e' does not answer /v1/chat/completions\. It answers /v1/emb"):
        registry.resolve("e", "chat")
    with pytest.raises(InvalidRequest, match=r"'model' is missing\. Name one of e\."):
        registry.resolve("", "embed")
    with pytest.raises(UnsupportedFeature, match="No model that could is configured"):
        registry.resolve("a", "rerank")


def test_long_lists_are_cut() -> None:
    assert listed(str(number) for number in range(12)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"
    assert listed([]) == "none yet"
