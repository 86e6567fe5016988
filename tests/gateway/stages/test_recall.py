"""Recall where nothing is kept, and what an answer that nobody waited for leaves behind."""

from pathlib import Path

import pytest

from penstock.errors import InvalidRequest, NotFound
from penstock.exchange import Exchange
from penstock.gateway.pipeline import Pipeline
from penstock.gateway.registry import Registry, Target
from penstock.gateway.responses.store import ResponseStore
from penstock.gateway.stages.recall import Recall
from penstock.gateway.stages.resolve import Resolve
from penstock.models.dialects.responses.requests import asked, read_response
from penstock.testing import FakeProvider

REGISTRY = Registry(
    [Target(name="tiny", kind="model", provider=FakeProvider("Hello", " world"), operations=frozenset({"chat"}))]
)


def exchange(body: bytes) -> Exchange:
    return read_response(body, Exchange(id="req_1", trace_id="1" * 32))


async def test_a_server_that_keeps_none_says_so() -> None:
    pipeline = Pipeline((Recall(None), Resolve(REGISTRY)))
    with pytest.raises(InvalidRequest, match="This server keeps no responses") as error:
        async for _ in pipeline.run(exchange(b'{"model":"tiny","input":"Hi","previous_response_id":"resp_1"}')):
            pass
    assert error.value.param == "previous_response_id"
    flight = pipeline.run(exchange(b'{"model":"tiny","input":"Hi"}'))
    assert [chunk.text async for chunk in flight] == ["Hello", " world", ""]
    assert asked(flight.exchange).store is False


async def test_an_answer_that_was_left_is_not_kept(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path)
    flight = Pipeline((Recall(store), Resolve(REGISTRY))).run(
        exchange(b'{"model":"tiny","input":"Hi","stream":true}')
    )
    assert (await anext(flight)).text == "Hello"
    await flight.aclose()
    with pytest.raises(NotFound):
        await store.get("local", "resp_" + "1" * 32)
    store.close()


async def test_a_response_is_on_disk_before_its_answer_ends(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path)
    async for _ in Pipeline((Recall(store), Resolve(REGISTRY))).run(exchange(b'{"model":"tiny","input":"Hi"}')):
        pass
    kept = await store.get("local", "resp_" + "1" * 32)
    assert (kept.previous_id, kept.provider) == (None, "")
    assert b'"Hello world"' in kept.body
    store.close()
