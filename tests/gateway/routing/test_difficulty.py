"""Which requests count as easy."""

import math
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.grounding import RecordingTracer
from support.routing import Flat, Stage, answer, ask, failure, said, target

from penstock.config.routing import DifficultySettings
from penstock.exchange import Chunk, Exchange, Message, Parameters, Tool, Usage
from penstock.gateway.routing.classifier import BUCKETS, chance, dense_features, probability, shipped, word_buckets
from penstock.gateway.routing.difficulty import Difficulty
from penstock.gateway.routing.route import Route


def difficulty(easy: Route | None = None, **fields: object) -> Difficulty:
    chosen = DifficultySettings.model_validate({"easy": "small"} | fields)
    return Difficulty(chosen, easy or Stage().route(target("small"), name="small"))


@pytest.mark.parametrize(
    ("text", "easy"),
    [
        ("What is the capital of Norway?", True),
        ("Translate 'good morning' to French.", True),
        ("Write me a short poem; make it rhyme.", True),
        ("x" * 601, False),
        ("Why does this fail?\n```\nprint(1)\n```", False),
        ("def f(x): return x", False),
        ("SELECT name FROM users WHERE id = 1;", False),
        ("What is 12 * 37?", False),
        ("Prove that there are infinitely many primes.", False),
        ("How many apples are left?", False),
        (r"Simplify \frac{a}{b}", False),
    ],
)
def test_rules(text: str, easy: bool) -> None:
    assert difficulty().sends_away(ask(text)) is easy


def test_rules_can_be_loosened() -> None:
    assert difficulty(maths=True).sends_away(ask("What is 12 * 37?"))
    assert difficulty(code=True).sends_away(ask("def f(x): return x"))
    assert difficulty(max_characters=1000).sends_away(ask("x" * 601))


def test_turns_and_tools() -> None:
    turns = tuple(Message(role, "Hi") for _ in range(4) for role in ("user", "assistant"))
    assert not difficulty().sends_away(ask(messages=turns))
    assert difficulty(max_turns=4).sends_away(ask(messages=turns))
    tools = ask(parameters=Parameters(tools=(Tool(name="f"),)))
    assert not difficulty().sends_away(tools)
    assert difficulty(tools=True).sends_away(tools)


def test_only_text_is_easy_or_hard() -> None:
    assert difficulty().sends_away(ask(messages=(), prompt="Once upon", operation="complete"))
    assert not difficulty().sends_away(ask(messages=(), inputs=("a",), operation="embed"))


async def test_an_easy_request_is_answered_by_the_small_model_and_what_it_saves_is_counted() -> None:
    stage = Stage()
    small = stage.route(target("small", price=Flat(1)), name="small")
    route = stage.route(target("large", price=Flat(10)), name="smart")
    route.lead((), None, difficulty(small))
    tracer = RecordingTracer()
    chunks = await answer(route, ask("Where are you now", tracer=tracer))
    assert (chunks[0].text, chunks[0].served_by) == ("small", "small")
    assert chunks[-1].usage == Usage(4, 1, cost_nanos=5)
    assert route.counts.saved_nanos == 45
    assert await said(route, ask("What is 12 * 37?")) == "large"
    assert (route.counts.easy, route.counts.hard, route.counts.easy_share) == (1, 1, 0.5)
    assert [span.name for span in tracer.spans] == ["difficulty", "easy small"]
    assert tracer.spans[0].attributes["penstock.difficulty"] == "easy"


async def test_what_the_small_model_does_not_answer_the_large_one_does() -> None:
    stage = Stage()
    small = stage.route(target("small", failure("bad_request")), name="small")
    route = stage.route(target("large"), name="smart")
    route.lead((), None, difficulty(small))
    assert await said(route) == "large"
    small.backends[0].health.eject(stage.clock.monotonic(), 30)
    assert await said(route) == "large"
    assert (route.counts.easy, route.counts.hard) == (0, 2)


def test_the_classifier_reads_the_last_question() -> None:
    history = (Message("user", "Prove Fermat's last theorem."), Message("assistant", "No."), Message("user", "Hi"))
    assert chance(ask(messages=history)) == chance(ask("Hi"))
    by = difficulty(by="classifier", threshold=chance(ask("Hi")))
    assert by.sends_away(ask(messages=history))
    above = difficulty(by="classifier", threshold=min(0.999, chance(ask("Hi")) + 0.001))
    assert not above.sends_away(ask("Hi"))


def test_the_classifier_weighs_what_the_script_trained() -> None:
    model = shipped()
    assert len(model.words) == BUCKETS
    assert len(model.dense) == len(dense_features("a text"))
    text = "Which planet is the largest?"
    buckets = word_buckets(text)
    assert buckets == word_buckets(text.upper()) or sorted(buckets) == sorted(word_buckets(text.upper()))
    assert zlib.crc32(b"planet") % BUCKETS in buckets
    score = model.bias + sum(a * b for a, b in zip(model.dense, dense_features(text), strict=True))
    score += sum(model.words[bucket] for bucket in buckets) / math.sqrt(len(buckets))
    assert math.isclose(probability(model, text), 1 / (1 + math.exp(-score)))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_any_text_has_a_chance(text: str) -> None:
    assert 0.0 < chance(Exchange(id="a", trace_id="b", messages=(Message("user", text),))) < 1.0


async def test_usage_that_no_provider_counted_is_reckoned() -> None:
    route = Stage().route(target("a", Chunk(text="Twelve chars", finish_reason="stop"), price=Flat(10)))
    chunks = await answer(route, ask("x" * 40))
    assert chunks[-1].usage == Usage(10, 3, estimated=True, cost_nanos=130)
