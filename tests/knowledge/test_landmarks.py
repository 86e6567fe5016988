"""The regions of a map are named by what is said there."""

import numpy as np
import pytest

from penstock.knowledge.landmarks import FEWEST, REGIONS, Landmark, apart, divided, landmarks

TOPICS = {
    (0.1, 0.1): "ferries leave the harbour",
    (0.9, 0.2): "turbines of the hall",
    (0.5, 0.9): "holidays of staff",
}


def scattered(each: int) -> tuple[np.ndarray, list[str]]:
    chance = np.random.default_rng(0)
    places = [np.array(middle) + chance.normal(0, 0.02, 2) for middle in TOPICS for _ in range(each)]
    texts = [f"{text} in {number} days" for text in TOPICS.values() for number in range(each)]
    return np.clip(np.array(places, dtype=np.float32), 0, 1), texts


def test_each_region_is_named_by_the_words_that_are_said_there_and_not_elsewhere() -> None:
    places, texts = scattered(FEWEST)
    found = landmarks(places, texts)
    assert {landmark.words for landmark in found} == {
        ("ferries", "harbour"),
        ("hall", "turbines"),
        ("holidays", "staff"),
    }
    for landmark in found:
        nearest = min(TOPICS, key=lambda middle: abs(middle[0] - landmark.x) + abs(middle[1] - landmark.y))
        assert set(landmark.words) <= set(TOPICS[nearest].split())
    assert landmarks(places, texts) == found


def test_a_few_passages_need_no_names() -> None:
    places, texts = scattered(FEWEST // 2 - 1)
    assert landmarks(places[: 2 * FEWEST - 1], texts[: 2 * FEWEST - 1]) == ()
    assert landmarks(np.zeros((0, 2), dtype=np.float32), []) == ()


@pytest.mark.parametrize("text", ["", "the 12 of 34"])
def test_passages_without_telling_words_or_all_in_one_place_are_no_error(text: str) -> None:
    count = FEWEST * REGIONS
    places = np.full((count, 2), 0.5, dtype=np.float32)
    assert set(divided(places, REGIONS).tolist()) == {0}
    assert landmarks(places, [text] * count) == ()


def test_there_are_never_more_than_a_glance_takes_in() -> None:
    places, texts = scattered(100)
    found = landmarks(places, texts)
    assert len(found) <= REGIONS
    assert all(isinstance(each, Landmark) and 0 <= each.x <= 1 and 0 <= each.y <= 1 for each in found)


def test_two_forms_of_a_word_are_one() -> None:
    assert apart(["requests", "request", "limits", "keys"]) == ("requests", "limits")
    assert apart([]) == ()
