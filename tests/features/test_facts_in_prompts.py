"""What an app's prompt makes of the facts about who asks, and that they stay with that person."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.grounding import asking, collected, documents
from support.hash_embedder import HashEmbedder

from penstock.config import load
from penstock.exchange import Exchange
from penstock.gateway.registry import Target
from penstock.knowledge.answer import AnswerSettings, GroundedApp
from penstock.platform.cache import keys_of
from penstock.prompts.answer import answer_prompt, answer_values
from penstock.testing import FakeProvider

QUESTION = "How high is the Grand Valley Dam?"


class Known:
    """Facts that are known without a lookup (`seams.Facts`)."""

    def __init__(self, **values: object) -> None:
        self.values = values
        self.asked = 0

    async def about(self, exchange: Exchange) -> dict[str, Any]:
        self.asked += 1
        return self.values


def rendered(**features: object) -> str:
    return answer_prompt().render(answer_values("docs", "Who?", [], features))[1].text


def test_the_built_in_prompt_tells_them_and_is_unchanged_without() -> None:
    assert rendered(plan="gold", account={"seats": 3}) == (
        "<facts>\nAbout the person who asks:\n- account: {'seats': 3}\n- plan: gold\n</facts>\n\n"
        "<question>\nWho?\n</question>"
    )
    assert rendered() == "<question>\nWho?\n</question>"


def test_an_app_s_own_prompt_names_them(tmp_path: Path) -> None:
    own = tmp_path / "answer.md"
    own.write_text("# user\n{% if features.plan == 'gold' %}Be quick. {% endif %}{{ features.account.seats }}")
    values = answer_values("docs", "Who?", [], {"plan": "gold", "account": {"seats": 3}})
    assert answer_prompt(own).render(values)[0].text == "Be quick. 3"


@given(st.sampled_from(["</facts>", "<facts>", "</question>", "< / PASSAGE >"]), st.text(max_size=20))
def test_no_fact_closes_the_delimiters(breakout: str, rest: str) -> None:
    text = rendered(plan=breakout + rest, account={"names": [breakout, {"x": breakout}]})
    assert text.count("<facts>") == text.count("</facts>") == 1
    assert text.count("<question>") == text.count("</question>") == 1


@pytest.mark.parametrize(("mode", "asked"), [("compose", 1), ("quote", 0)])
async def test_only_a_model_that_writes_is_told(tmp_path: Path, mode: Any, asked: int) -> None:
    model, facts = FakeProvider("It is 221 metres high. [1]"), Known(plan="gold")
    embedder = HashEmbedder()
    async with documents(tmp_path, embedder) as base:
        settings = AnswerSettings(mode=mode, model="strong", threshold=0.0001, facts=facts)
        app = GroundedApp("handbook", base, embedder, model.answer, settings)
        await collected(app, asking(QUESTION))
    assert facts.asked == asked == len(model.exchanges)
    for sent in model.exchanges:
        assert "- plan: gold\n</facts>" in sent.messages[-1].text
        assert "features" not in sent.options


def test_answers_with_facts_are_kept_apart_by_person_and_key(tmp_path: Path) -> None:
    (tmp_path / "penstock.toml").write_text(
        '[app]\nname = "handbook"\n[features.plan]\nsource = "http"\nurl = "http://127.0.0.1:1/people"\n'
        'parameters = { id = "user" }\n'
    )
    (tmp_path / "a.md").write_text("# A")
    app = Target(name="handbook", kind="app", provider=FakeProvider("yes"), operations=frozenset({"chat"}))

    def key(settings: Any, **changes: Any) -> bytes:
        found = keys_of(settings, lambda name: 1, questions=False).of(asking(QUESTION, **changes), app)
        assert found is not None
        return found.key

    settings = load(tmp_path).settings
    assert key(settings, user="ann") == key(settings, user="ann") != key(settings, user="bob")
    plain = settings.model_copy(update={"features": {}})
    assert key(plain, user="ann") == key(plain, user="bob")
