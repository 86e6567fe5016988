"""Which words tell two questions apart, and which are only another way to put one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.gateway.cache.wording import may_mean_the_same, signature

SAME = [
    ("What is my balance?", "my balance, please"),
    ("what's the weather in Paris", "tell me the weather in Paris"),
    ("How do I reset my PIN?", "Can you tell me how to reset my PIN?"),
    ("i would like to order more checks", "I'd like to order more checks please"),
    ("set an alarm for eight tomorrow", "Set an alarm for 8 tomorrow."),
    ("I don't recognise this payment", "I do not recognise this payment"),
    ("What is the price of a transfer?", "What does a transfer cost?"),
    ("How do I buy a car", "how to purchase a vehicle"),
    ("How high is the dam?", "HOW HIGH IS THE DAM"),
]

OTHER = [
    ("revenue in 2023", "revenue in 2024"),
    ("the second quarter", "the third quarter"),
    ("two tickets", "three tickets"),
    ("Can I pay by card?", "Can't I pay by card?"),
    ("with dairy", "without dairy"),
    ("turn the light on", "turn the light off"),
    ("before the meeting", "after the meeting"),
    ("what is your name", "what is my name"),
    ("what can I call you", "what can you call me"),
    ("call Tom", "call me Tom"),
    ("my dog ate my card", "your dog ate my card"),
    ("from euros to dollars", "from dollars to euros"),
    ("send $5 from me to Carrie", "send $5 from Carrie to me"),
    ("baking soda instead of baking powder", "baking powder instead of baking soda"),
    ("rooms from 1 to 2", "rooms from 2 to 1"),
    ("away from May to April", "away from April to May"),
    ("weather in Paris", "weather in London"),
    ("my card was declined", "my new card was declined"),
    ("when is it due", "where is it due"),
    ("how many shots do I need", "what shots do I need"),
    ("list everything on my shopping list", "everything on my shopping list"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_another_way_to_put_it(one: str, other: str) -> None:
    assert may_mean_the_same(one, other)
    assert signature(one) == signature(other)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_another_question(one: str, other: str) -> None:
    assert not may_mean_the_same(one, other)
    assert not may_mean_the_same(other, one)


@given(st.text(max_size=60), st.text(max_size=60))
def test_it_holds_both_ways_and_of_itself(one: str, other: str) -> None:
    assert may_mean_the_same(one, one)
    assert may_mean_the_same(one, other) == may_mean_the_same(other, one)


@given(st.text(max_size=60), st.text(max_size=60))
def test_questions_that_may_mean_the_same_stand_in_one_place(one: str, other: str) -> None:
    """Otherwise the index would never compare them."""
    if may_mean_the_same(one, other):
        assert signature(one) == signature(other)
