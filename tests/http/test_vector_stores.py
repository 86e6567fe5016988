"""The knowledge as OpenAI's own client searches it."""

from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest
import pytest_asyncio
from support.keyed_site import KeyedSite, keyed_site


@pytest_asyncio.fixture
async def it(tmp_path: Path) -> AsyncIterator[KeyedSite]:
    async with keyed_site(tmp_path) as site:
        yield site


async def client(it: KeyedSite, **rights: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key=await it.secret("web", **rights), base_url=f"{it.url}/v1", max_retries=0)  # type: ignore[arg-type]


async def test_a_store_is_searched_as_openai_has_it(it: KeyedSite) -> None:
    stores = (await client(it)).vector_stores
    page = await stores.search("manuals", query="turn the wheel", max_num_results=2)
    assert page.search_query == ["turn the wheel"]  # type: ignore[attr-defined]
    first = page.data[0]
    assert (first.filename, first.content[0].type) == ("guide/gate.md", "text")
    assert "wheel" in first.content[0].text
    assert 0 < first.score <= 1
    assert len(page.data) == 2
    assert [each async for each in page] == page.data, "there is one page"


async def test_several_queries_are_phrasings_of_one_question(it: KeyedSite) -> None:
    stores = (await client(it)).vector_stores
    page = await stores.search("manuals", query=["How long is the weir?", "turn the wheel"], max_num_results=10)
    assert {"guide/gate.md", "reports/Größe & Länge.txt"} <= {each.filename for each in page.data[:4]}


async def test_weights_and_thresholds_of_ranking_count(it: KeyedSite) -> None:
    stores = (await client(it)).vector_stores

    async def scores(**options: object) -> list[float]:
        page = await stores.search("manuals", query="turn the wheel", ranking_options=options)  # type: ignore[arg-type]
        return [each.score for each in page.data]

    usual = await scores()
    words = await scores(hybrid_search={"embedding_weight": 0.0, "text_weight": 3.0})
    assert words != usual
    assert await scores(score_threshold=usual[0]) == usual[:1]
    assert await scores(ranker="none", score_threshold=0.0) == usual


async def test_filters_mean_what_they_mean_everywhere(it: KeyedSite) -> None:
    stores = (await client(it)).vector_stores
    nobody = {"type": "eq", "key": "team", "value": "hr"}
    page = await stores.search("manuals", query="wheel", filters=nobody)  # type: ignore[arg-type]
    assert page.data == []
    anybody = {"type": "or", "filters": [nobody, nobody | {"type": "ne"}]}
    page = await stores.search("manuals", query="wheel", filters=anybody)  # type: ignore[arg-type]
    assert page.data


async def test_stores_and_their_files_are_listed(it: KeyedSite) -> None:
    stores = (await client(it)).vector_stores
    (store,) = [each async for each in await stores.list()]
    assert (store.id, store.status, store.file_counts.total, store.file_counts.failed) == (
        "manuals",
        "completed",
        5,
        1,
    )
    assert store == await stores.retrieve("manuals")
    assert store.created_at > 1_500_000_000
    files = [each async for each in stores.files.list("manuals", limit=2, order="asc")]
    assert len(files) == 5
    failed = [each async for each in stores.files.list("manuals", filter="failed")]
    assert failed[0].last_error is not None
    assert failed[0].last_error.message.startswith("corrupt: ")


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        ({"query": "x", "rewrite_query": True}, "rewrite_query", "no model 'default' for this key"),
        ({"query": "x", "filters": {"type": "near", "key": "a", "value": 1}}, "filters", "'near' is no comparison"),
        ({"query": ""}, None, "query"),
        ({"query": []}, None, "query"),
        ({"query": "x", "max_num_results": 51}, None, "max_num_results"),
        (
            {"query": "x", "ranking_options": {"hybrid_search": {"embedding_weight": 0, "text_weight": 0}}},
            "ranking_options",
            "are both 0",
        ),
    ],
)
async def test_what_cannot_be_searched_says_so(
    it: KeyedSite, body: object, param: str | None, message: str
) -> None:
    answer = await it.ask("POST", "/v1/vector_stores/manuals/search", await it.secret("web"), json=body)
    assert answer.status == 400
    error = answer.json["error"]
    assert message in error["message"]
    assert param is None or error["param"] == param


async def test_an_unknown_store_and_too_small_a_role(it: KeyedSite) -> None:
    with pytest.raises(openai.NotFoundError, match="There is no knowledge 'other'"):
        await (await client(it)).vector_stores.search("other", query="x")
    with pytest.raises(openai.PermissionDeniedError):
        await (await client(it, role="viewer")).vector_stores.search("manuals", query="x")
    with pytest.raises(openai.NotFoundError):
        await (await client(it, project="team-b")).vector_stores.search("manuals", query="x")
