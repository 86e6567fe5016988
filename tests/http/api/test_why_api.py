"""What an answer hangs on, over real HTTP: who may ask, and that nobody is told of documents kept for others."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from support.grounded_site import OPEN, QUESTION, SECRET, grounded_site
from support.keyed_site import OTHER, Answer, KeyedSite

from penstock.traces.recorder import RecorderSettings


@pytest_asyncio.fixture
async def it(tmp_path: Path) -> AsyncIterator[KeyedSite]:
    async with grounded_site(tmp_path) as site:
        yield site


async def asked(it: KeyedSite, key: str, model: str = "plant") -> str:
    """The trace of an answer."""
    answer = await it.chat(key, model, QUESTION)
    assert answer.status == 200, answer.body
    assert await it.services.traces.flush()
    return str(answer.headers["x-penstock-trace-id"])


async def why(it: KeyedSite, key: str, trace_id: str) -> Answer:
    return await it.ask("POST", f"/api/v1/traces/{trace_id}/why", key, json={})


async def test_an_answer_hangs_on_the_passage_that_it_quotes(it: KeyedSite) -> None:
    key = await it.secret("web")
    trace_id = await asked(it, key)
    found = (await why(it, key, trace_id)).json
    assert (found["trace_id"], found["question"], found["answered"]) == (trace_id, QUESTION, True)
    assert found["answer"] == f"{OPEN} [1]"
    assert (found["same_release"], found["same_generation"]) == (True, True)
    first, *others = found["passages"][: found["hangs_on"]]
    assert (first["document"], others) == ("fees.txt", [])
    assert OPEN not in first["answer"]


async def test_documents_kept_for_others_are_not_named(it: KeyedSite) -> None:
    hr, web = await it.secret("hr", groups=("hr",)), await it.secret("web")
    trace_id = await asked(it, hr)
    mine, theirs = await why(it, hr, trace_id), await why(it, web, trace_id)
    assert "wages.txt" in {each["document"] for each in mine.json["passages"]}
    assert theirs.status == 200
    assert "wages" not in theirs.body
    assert SECRET not in theirs.body
    assert "Lindqvist" not in theirs.body


async def test_another_tenants_trace_is_not_there(it: KeyedSite) -> None:
    own, other = await it.secret("web"), await it.secret("web", project=OTHER)
    trace_id = await asked(it, own)
    refused = await why(it, other, trace_id)
    assert refused.status == 404
    assert refused.json["error"]["message"].startswith(f"There is no trace '{trace_id}'.")
    theirs = await asked(it, other)
    found = (await why(it, other, theirs)).json
    assert found["answer"] == f"{OPEN} [1]"
    assert (await why(it, own, theirs)).status == 404


async def test_who_may_only_look_may_not_ask_again(it: KeyedSite) -> None:
    trace_id = await asked(it, await it.secret("web"))
    refused = await why(it, await it.secret("eyes", "viewer"), trace_id)
    assert refused.status == 403


async def test_a_trace_without_text_says_what_to_switch_on(it: KeyedSite) -> None:
    it.services.traces.use(RecorderSettings(content=False))
    key = await it.secret("web")
    trace_id = await asked(it, key)
    refused = await why(it, key, trace_id)
    assert refused.status == 400
    assert "no text was recorded" in refused.json["error"]["message"]
    assert "content = true under [traces]" in refused.json["error"]["message"]


async def test_a_models_own_answer_hangs_on_no_documents(it: KeyedSite) -> None:
    key = await it.secret("web")
    refused = await why(it, key, await asked(it, key, "tiny"))
    assert refused.status == 400
    assert "'tiny', which answers from no documents" in refused.json["error"]["message"]


async def test_documents_that_changed_since_are_said_to_have(it: KeyedSite) -> None:
    key, owner = await it.secret("web"), await it.secret("boss", "owner")
    trace_id = await asked(it, key)
    text = {"key": "new.txt", "text": "The harbour is open."}
    await it.ask("POST", "/api/v1/knowledge/papers/documents", owner, json={"documents": [text]})
    found = (await why(it, key, trace_id)).json
    assert found["same_generation"], "the generation of that time is still kept"
    assert "new.txt" not in {each["document"] for each in found["passages"]}


@pytest.mark.parametrize("trace_id", ["x", "0" * 32, "%27%3B--"])
async def test_what_is_no_trace(it: KeyedSite, trace_id: str) -> None:
    assert (await why(it, await it.secret("web"), trace_id)).status == 404
