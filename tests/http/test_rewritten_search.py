"""A search whose question a model words anew."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from support.gateway_site import model
from support.keyed_site import KeyedSite, keyed_site

from penstock.errors import UpstreamFailed
from penstock.knowledge.rewording import lines_of
from penstock.testing import FakeProvider

SEARCH = "/api/v1/knowledge/manuals/search"
QUESTION = "how do I shut it?"


@pytest_asyncio.fixture
async def it(tmp_path: Path) -> AsyncIterator[KeyedSite]:
    async with keyed_site(tmp_path) as site:
        yield site


async def test_other_words_of_a_model_find_what_the_question_does_not(it: KeyedSite) -> None:
    words = FakeProvider("1. turn the wheel clockwise\n- How do I shut it?\n\n2) ", "francis turbines\n")
    it.services.registry.add(model(words, "default"))
    key = await it.secret("web")
    plain = await it.ask("POST", SEARCH, key, json={"q": QUESTION})
    assert (plain.json["queries"], words.exchanges) == ([QUESTION], [])
    found = await it.ask("POST", SEARCH, key, json={"q": QUESTION, "rewrite": True})
    assert found.json["queries"] == [QUESTION, "turn the wheel clockwise", "francis turbines"]
    assert {"guide/gate.md", "guide/turbines.md"} <= {hit["document"] for hit in found.json["hits"][:3]}
    (asked,) = words.exchanges
    assert asked.principal.name == "web"
    assert QUESTION in asked.messages[-1].text
    body = {"query": [QUESTION, "weir"], "rewrite_query": True}
    page = await it.ask("POST", "/v1/vector_stores/manuals/search", key, json=body)
    assert page.json["search_query"] == [QUESTION, "weir", "turn the wheel clockwise", "francis turbines"]


async def test_a_model_that_fails_leaves_the_question_as_it_is(it: KeyedSite) -> None:
    it.services.registry.add(model(FakeProvider("half a", UpstreamFailed("It is gone.")), "default"))
    found = await it.ask("POST", SEARCH, await it.secret("web"), json={"q": QUESTION, "rewrite": True})
    assert (found.status, found.json["queries"]) == (200, [QUESTION])


async def test_a_model_that_is_late_is_not_waited_for(it: KeyedSite) -> None:
    app = it.services.settings.app.model_copy(update={"rewrite_seconds": 0.05, "rewrite_model": "quick"})
    await it.stop()
    it.services = dataclasses.replace(it.services, settings=it.services.settings.model_copy(update={"app": app}))
    await it.start()
    silent = FakeProvider("a", asyncio.Event())
    it.services.registry.add(model(silent, "quick"))
    found = await it.ask("POST", SEARCH, await it.secret("web"), json={"q": QUESTION, "rewrite": True})
    assert (found.status, found.json["queries"], silent.running) == (200, [QUESTION], 0)


async def test_who_may_not_call_models_has_none_called(it: KeyedSite) -> None:
    words = FakeProvider("wheel")
    it.services.registry.add(model(words, "default"))
    found = await it.ask("POST", SEARCH, await it.secret("eye", "viewer"), json={"q": QUESTION, "rewrite": True})
    assert found.status == 403
    assert "Wording a question anew needs the role developer" in found.json["error"]["message"]
    assert words.exchanges == []


async def test_no_model_words_a_question_to_what_is_not_there_for_the_key(it: KeyedSite) -> None:
    words = FakeProvider("wheel")
    it.services.registry.add(model(words, "default", projects=("local", "team-b")))
    body = {"q": QUESTION, "rewrite": True}
    other = await it.ask("POST", SEARCH, await it.secret("b", project="team-b"), json=body)
    unknown = await it.ask("POST", SEARCH.replace("manuals", "other"), await it.secret("web"), json=body)
    assert (other.status, unknown.status, words.exchanges) == (404, 404, [])


async def test_without_a_model_it_says_what_to_add(it: KeyedSite) -> None:
    found = await it.ask("POST", SEARCH, await it.secret("web"), json={"q": QUESTION, "rewrite": True})
    assert (found.status, found.json["error"]["param"]) == (400, "rewrite")
    assert "[models.default]" in found.body


def test_lists_and_repetitions_are_taken_off() -> None:
    text = '(1) One?\n* "Two?"\n\n- one?\nThree 3.5?\n2024 was?'
    assert list(lines_of(text, "Three 3.5?")) == ["One?", "Two?", "2024 was?"]
