"""Answers never cross from one tenant to another, whatever a request says of itself."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.cache_servers import CacheServer
from support.gateway_site import Site, remote_model, site
from support.hash_embedder import HashEmbedder

from penstock.access.store import Access
from penstock.access.values import NewKey
from penstock.audit.record import COMMAND_LINE
from penstock.exchange import Chunk, Exchange
from penstock.gateway.cache.answers import AnswerCache, CacheRules
from penstock.gateway.cache.base import CacheStore, namespace_of
from penstock.gateway.cache.key import CacheRequest, Keys
from penstock.gateway.cache.memory import MemoryStore
from penstock.gateway.cache.redis import RedisWire
from penstock.gateway.cache.remote import Patience, RemoteStore
from penstock.gateway.cache.semantic import SemanticIndex
from penstock.gateway.cache.sqlite import SqliteStore
from penstock.testing import ProviderServer, Reply
from penstock.testing.answers import Received

OURS, THEIRS = "local", "team-b"
QUESTION = "How high is the dam?"
IN_OTHER_WORDS = "Please tell me how high the dam is"
BODY: dict[str, Any] = {"model": "big", "messages": [{"role": "user", "content": QUESTION}], "temperature": 0}
ONLY = {"cache-control": "only-if-cached"}

FORGED_HEADERS = [
    {"x-penstock-project": OURS, "x-project-id": OURS, "openai-project": OURS, "openai-organization": OURS},
    {"x-penstock-key": "ours", "x-penstock-user": "ours", "x-forwarded-user": "ours"},
    {"x-penstock-cache-key": "{key}", "etag": "{key}", "if-match": "{key}", "x-penstock-session": "{key}"},
    {"cookie": f"project={OURS}; penstock_project={OURS}"},
]
FORGED_FIELDS: list[dict[str, Any]] = [
    {"project_id": OURS},
    {"project": OURS, "namespace": namespace_of(OURS).hex()},
    {"principal": {"project_id": OURS, "key_id": "ours"}},
    {"user": "ours", "metadata": {"project_id": OURS}, "safety_identifier": OURS},
    {"prompt_cache_key": "{key}"},
    {"cache_key": "{key}", "key": "{key}", "context": "{key}"},
]


class WatchedCache(AnswerCache):
    """`keys` are those under which answers were stored."""

    keys: list[bytes]

    def keep(self, request: CacheRequest, exchange: Exchange, chunks: Sequence[Chunk]) -> None:
        self.keys.append(request.key)
        super().keep(request, exchange, chunks)


@dataclass
class Tenants:
    """A server with a key of each tenant. Every answer of its upstream is another one; `given` are ours."""

    site: Site
    cache: WatchedCache
    upstream: ProviderServer
    secrets: dict[str, str]
    given: set[str]

    async def ask(
        self, project: str, headers: dict[str, str] | None = None, fields: dict[str, Any] | None = None
    ) -> tuple[int, str | None, str]:
        """Status, what the cache did, and the text of the answer."""
        shown = {"authorization": f"Bearer {self.secrets[project]}"} | (headers or {})
        status, body, came = await self.site.post("/v1/chat/completions", BODY | (fields or {}), headers=shown)
        text = body["choices"][0]["message"]["content"] if status == 200 else body["error"]["message"]
        if project == OURS:
            self.given.add(text)
        else:
            assert text not in self.given
        await self.cache.store.flush()
        return status, came.get("x-penstock-cache"), text


@pytest.fixture(params=["memory", "sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CacheStore]:
    if request.param == "memory":
        yield MemoryStore(1 << 20)
    elif request.param == "sqlite":
        yield SqliteStore(tmp_path / "cache.db", 1 << 20)
    else:
        server: CacheServer = request.getfixturevalue("redis")
        yield RemoteStore(RedisWire(server.url), Patience(look_up=5.0, write=5.0))


@pytest_asyncio.fixture
async def tenants(store: CacheStore, tmp_path: Path) -> AsyncIterator[Tenants]:
    disk = store if isinstance(store, SqliteStore) else None
    semantic = SemanticIndex(HashEmbedder(), 0.5, 100, disk)
    shape = str(tmp_path)  # so that the one Redis of all tests begins empty for each
    cache = WatchedCache(store, Keys(shape, questions=True), CacheRules(), semantic=semantic)
    cache.keys = []
    access = Access.open(tmp_path, tmp_path)
    await access.projects.create(COMMAND_LINE, THEIRS, "Team B")
    secrets = {}
    for project in (OURS, THEIRS):
        made = await access.keys.create(COMMAND_LINE, NewKey(name=project, role="owner", project_id=project))
        secrets[project] = made.secret.reveal()
    async with (
        ProviderServer(numbered()) as upstream,
        site(tmp_path, remote_model(upstream), cache=cache, access=access) as it,
    ):
        yield Tenants(it, cache, upstream, secrets, set())
    await cache.close()
    await access.close()


def numbered() -> Any:
    numbers = iter(range(1000))

    def answer(received: Received) -> Reply:
        message = {"role": "assistant", "content": f"Answer {next(numbers)}."}
        return Reply(
            body=json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
        )

    return answer


async def test_the_same_request_of_another_tenant_is_another_request(tenants: Tenants) -> None:
    assert (await tenants.ask(OURS))[:2] == (200, "miss")
    assert (await tenants.ask(OURS))[:2] == (200, "hit")
    assert (await tenants.ask(THEIRS, ONLY))[:2] == (504, None)
    assert (await tenants.ask(THEIRS))[:2] == (200, "miss")
    assert (await tenants.ask(THEIRS))[:2] == (200, "hit")
    assert len(tenants.upstream.received) == 2


async def test_nor_does_its_meaning_find_what_another_tenant_asked(tenants: Tenants) -> None:
    reworded = {"messages": [{"role": "user", "content": IN_OTHER_WORDS}]}
    await tenants.ask(OURS)
    assert (await tenants.ask(OURS, fields=reworded))[:2] == (200, "semantic")
    assert (await tenants.ask(THEIRS, ONLY, reworded))[:2] == (504, None)
    assert (await tenants.ask(THEIRS, fields=reworded))[:2] == (200, "miss")
    assert (await tenants.ask(THEIRS))[:2] == (200, "semantic")


async def test_no_header_and_no_field_makes_a_request_of_another_tenant(tenants: Tenants) -> None:
    _, _, text = await tenants.ask(OURS)
    key = tenants.cache.keys[0].hex()
    for each in FORGED_HEADERS:
        headers = {name: value.format(key=key) for name, value in each.items()}
        assert (await tenants.ask(THEIRS, headers | ONLY))[0] == 504, headers
    for fields in FORGED_FIELDS:
        forged = json.loads(json.dumps(fields).replace("{key}", key))
        assert (await tenants.ask(THEIRS, ONLY, forged))[0] == 504, forged
    assert (await tenants.ask(OURS, ONLY))[1:] == ("hit", text)
    assert len(tenants.upstream.received) == 1


async def test_calls_under_way_are_not_shared_between_tenants(tenants: Tenants) -> None:
    gate = asyncio.Event()
    body = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"%d"},"finish_reason":"stop"}]}'
    tenants.upstream.answers += [Reply(body=body % number, after=gate) for number in range(2)]
    asking = [asyncio.ensure_future(tenants.ask(project)) for project in (OURS, OURS, THEIRS, THEIRS)]
    await asyncio.wait_for(tenants.upstream.until(lambda it: len(it.received) == 2), 10)
    gate.set()
    answers = await asyncio.gather(*asking)
    texts = [text for _, _, text in answers]
    assert texts[0] == texts[1] != texts[2] == texts[3]


async def test_a_tenant_clears_only_its_own(tenants: Tenants) -> None:
    await tenants.ask(OURS)
    await tenants.ask(THEIRS)
    headers = {"authorization": f"Bearer {tenants.secrets[THEIRS]}"}
    async with tenants.site.session.delete(tenants.site.url + "/api/v1/cache", headers=headers) as answer:
        assert await answer.json() == {"project": THEIRS}
    assert (await tenants.ask(OURS, ONLY))[:2] == (200, "hit")
    assert (await tenants.ask(THEIRS, ONLY))[0] == 504
