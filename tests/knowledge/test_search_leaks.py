"""Nobody gets to see what is kept for others: random documents, readers and questions, over every route."""

import dataclasses
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from support.hash_embedder import HashEmbedder

from penstock.access.store import Access
from penstock.access.values import NewKey
from penstock.audit.record import COMMAND_LINE
from penstock.config.app import AppSettings
from penstock.config.knowledge import KnowledgeSettings
from penstock.config.settings import Settings
from penstock.console.routes import routes as console_routes
from penstock.exchange import LOCAL, Principal
from penstock.gateway.admission import Admission
from penstock.gateway.meter import Meter
from penstock.gateway.pipeline import Pipeline, standard_stages
from penstock.gateway.registry import Registry, Target
from penstock.gateway.services import Services
from penstock.http.server import build
from penstock.knowledge.answer import AnswerSettings, GroundedApp
from penstock.knowledge.base import EVERYTHING, KnowledgeBase, Query, Reader, Sources
from penstock.knowledge.filters import matches, parse_filter
from penstock.knowledge.readers import reader_of
from penstock.traces.store import TraceStore

DOCUMENTS = 8
NAMES = [f"paper{number}x.md" for number in range(DOCUMENTS)]
SECRETS = [f"zq{number}secret" for number in range(DOCUMENTS)]
TAGS = ["group:hr", "group:legal", "role:admin", "role:viewer", "project:local", "project:team-b", "key:nobody"]
EMBEDDER = HashEmbedder(dimensions=64)


@dataclass(frozen=True)
class Asker:
    """A key, and the tags that whoever shows it has; `None` finds everything."""

    secret: str
    role: str
    tags: frozenset[str] | None


@dataclass
class Site:
    folder: Path
    app: Starlette
    services: Services
    client: httpx.AsyncClient
    askers: list[Asker]

    def open(self, papers: list[tuple[list[str], dict[str, Any]]]) -> KnowledgeBase:
        """The same documents with other readers and metadata, as a run would have left them."""
        path = self.folder / "now.db"
        for old in self.folder.glob("now*"):
            old.unlink()
        shutil.copy(self.folder / "k.db", path)
        with sqlite3.connect(path) as connection:
            for name, (readers, metadata) in zip(NAMES, papers, strict=True):
                connection.execute(
                    "UPDATE document SET readers = ?, metadata = ? WHERE path = ?",
                    (json.dumps(readers), json.dumps(metadata), name),
                )
        connection.close()
        return KnowledgeBase.open(path, "papers", EMBEDDER)

    def serve(self, base: KnowledgeBase) -> None:
        answering = GroundedApp("plant", base, EMBEDDER, None, AnswerSettings(mode="quote", threshold=0.0))
        plant = Target(
            name="plant",
            kind="app",
            provider=answering,
            operations=frozenset({"chat"}),
            projects=("local", "team-b"),
        )
        registry = Registry([plant])
        stages = standard_stages(registry, self.services.traces, Meter(), admission=Admission(8))
        self.app.state.services = dataclasses.replace(
            self.services, registry=registry, pipeline=Pipeline(stages), knowledge={"papers": base}
        )

    async def ask(self, asker: Asker, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {asker.secret}", **options.pop("headers", {})}
        return await self.client.request(method, path, headers=headers, **options)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("leaks")
    (folder / "docs").mkdir()
    for name, secret in zip(NAMES, SECRETS, strict=True):
        text = f"# Wages {secret}\n\nThe wages of the harbour are {secret} euros.\n\n## More\n\nShips pay {secret}."
        (folder / "docs" / name).write_text(text)
    base = KnowledgeBase.open(folder / "k.db", "papers", EMBEDDER)
    await base.ingest(Sources(folder / "docs"))
    base.close()
    access = Access.open(folder, folder)
    await access.projects.create(COMMAND_LINE, "team-b", "B")
    askers = []
    for role, project, groups in (
        ("viewer", "local", ()),
        ("developer", "local", ("hr",)),
        ("admin", "local", ("legal", "hr")),
        ("owner", "local", ()),
        ("developer", "team-b", ("legal",)),
        ("owner", "team-b", ()),
    ):
        made = await access.keys.create(
            COMMAND_LINE,
            NewKey(name="k", role=role, project_id=project, groups=groups),  # type: ignore[arg-type]
        )
        askers.append(Asker(made.secret.reveal(), role, tags_of(role, project, groups)))
    traces = TraceStore.open(folder / "traces.db")
    services = Services(
        app_name="plant",
        settings=Settings(
            app=AppSettings(name="plant", projects=("team-b",)),
            models={},
            knowledge={"papers": KnowledgeSettings(sources=("docs/**/*",))},
        ),
        pipeline=Pipeline([]),
        registry=Registry(),
        traces=traces,
        access=access,
    )
    app = build(services, console_routes())
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        yield Site(folder, app, services, client, askers)
    traces.close()
    await access.close()


def tags_of(role: str, project: str, groups: tuple[str, ...]) -> frozenset[str] | None:
    """What the documentation says, put down again."""
    if (role, project) == ("owner", "local"):
        return None
    ranks = ["viewer", "developer", "admin", "owner"]
    own = {f"role:{each}" for each in ranks[: ranks.index(role) + 1]} if project == "local" else set()
    return frozenset({f"project:{project}", *own, *(f"group:{group}" for group in groups)})


def readable(readers: list[str], tags: frozenset[str] | None) -> bool:
    return tags is None or not readers or bool(tags & set(readers))


READERS = st.lists(st.sampled_from(TAGS), max_size=3, unique=True)
METADATA = st.fixed_dictionaries(
    {}, optional={"team": st.sampled_from(["hr", "it"]), "year": st.integers(2020, 2023)}
)
PAPERS = st.lists(st.tuples(READERS, METADATA), min_size=DOCUMENTS, max_size=DOCUMENTS)
FILTERS = st.none() | st.sampled_from(
    [
        {"team": "hr"},
        {"team": {"ne": "hr"}},
        {"year": {"gte": 2021}},
        {"not": {"team": "hr"}},
        {"or": [{"team": "it"}, {"year": {"lt": 2022}}]},
        {"team": {"exists": False}},
    ]
)
QUESTIONS = st.sampled_from(["What are the wages?", "harbour fees", *SECRETS, "paper3x.md", "?"])
WISHES = st.fixed_dictionaries(
    {"mode": st.sampled_from(["hybrid", "dense", "text"]), "limit": st.integers(1, 30)},
    optional={
        "neighbours": st.integers(0, 3),
        "expand": st.booleans(),
        "diversity": st.sampled_from([0.0, 0.5, 1.0]),
        "queries": st.lists(QUESTIONS, max_size=2),
        "vector_weight": st.sampled_from([0.0, 0.3, 1.0]),
    },
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data(), papers=PAPERS, question=QUESTIONS, filter=FILTERS, wishes=WISHES)
@pytest.mark.asyncio(loop_scope="module")
async def test_nothing_that_is_kept_for_others_is_told(
    site: Site, data: st.DataObject, papers: list[Any], question: str, filter: Any, wishes: dict[str, Any]
) -> None:
    asker = data.draw(st.sampled_from(site.askers))
    base = site.open(papers)
    site.serve(base)
    ids = {row.path: row.id for row in base.documents(EVERYTHING)}
    open_to = [readable(readers, asker.tags) for readers, _ in papers]
    hidden = [at for at, may in enumerate(open_to) if not may]
    words = [word for at in hidden if (SECRETS[at] not in question) for word in (SECRETS[at], NAMES[at])]
    words = [word for word in words if word not in question and word not in str(wishes.get("queries", ""))]

    async def told(method: str, path: str, **options: Any) -> httpx.Response:
        answer = await site.ask(asker, method, path, **options)
        for word in words:
            assert word not in answer.text, (method, path, answer.status_code)
        return answer

    asked = {"q": question, "filter": filter, **wishes}
    found = (await told("POST", "/api/v1/knowledge/papers/search", json=asked)).json()["hits"]
    allowed = {
        NAMES[at]
        for at, (_, metadata) in enumerate(papers)
        if open_to[at] and (filter is None or matches(parse_filter(filter), metadata))
    }
    assert {hit["document"] for hit in found} <= allowed
    if wishes["mode"] == "dense" and not {"neighbours", "expand"} & wishes.keys():
        assert len(found) >= min(wishes["limit"], len(allowed)), "as many as there are, whatever is left out"
    by_address = {"q": question, "limit": 30} | ({"filter": json.dumps(filter)} if filter else {})
    found = (await told("GET", f"/api/v1/knowledge/papers/search?{urlencode(by_address)}")).json()["hits"]
    assert {hit["document"] for hit in found} == allowed
    listed = (await told("GET", "/api/v1/knowledge/papers/documents")).json()
    assert listed["total"] == sum(open_to)
    item = (await told("GET", "/api/v1/knowledge")).json()["data"][0]
    counts = item["counts"]
    assert item["index"] is None or asker.tags is None, "its numbers are of what others keep, too"
    assert (counts["documents"], sum(counts["statuses"].values())) == (sum(open_to), sum(open_to))
    for name, may in zip(NAMES, open_to, strict=True):
        for part in ("", "/passages"):
            answer = await told("GET", f"/api/v1/knowledge/papers/documents/{ids[name]}{part}")
            assert answer.status_code == (200 if may else 404)
    for page in ("/knowledge/papers", f"/knowledge/papers?{urlencode({'q': question})}", "/"):
        await told("GET", page, headers={"accept": "text/html"})
    for name, may in zip(NAMES, open_to, strict=True):
        page = await told("GET", f"/knowledge/papers/{ids[name]}", headers={"accept": "text/html"})
        assert page.status_code == (200 if may else 404)
    if asker.role != "viewer":
        await _as_openai_asks(told, question, filter, sum(open_to), allowed)
    base.close()


async def _as_openai_asks(told: Any, question: str, filter: Any, documents: int, allowed: set[str]) -> None:
    body = {"query": question, "max_num_results": 50, "filters": filter}
    found = (await told("POST", "/v1/vector_stores/papers/search", json=body)).json()["data"]
    assert {result["filename"] for result in found} == allowed
    store = (await told("GET", "/v1/vector_stores/papers")).json()
    assert store["file_counts"]["total"] == documents
    assert len((await told("GET", "/v1/vector_stores/papers/files?limit=100")).json()["data"]) == documents
    await told("GET", "/v1/vector_stores")
    chat = {"model": "plant", "messages": [{"role": "user", "content": question}]}
    await told("POST", "/v1/chat/completions", json=chat)


@pytest.mark.parametrize(
    ("principal", "tags"),
    [
        (LOCAL, None),
        (Principal(role="owner", key_id="k"), None),
        (Principal(role="owner", key_id="k", project_id="b"), ("key:k", "project:b")),
        (Principal(role="developer", key_id="k"), ("key:k", "project:local", "role:developer", "role:viewer")),
        (
            Principal(role="viewer", key_id="key_config_web", groups=("hr",)),
            ("group:hr", "key:key_config_web", "key:web", "project:local", "role:viewer"),
        ),
    ],
)
def test_who_finds_what(principal: Principal, tags: tuple[str, ...] | None) -> None:
    assert reader_of(principal).tags == tags


async def test_a_group_that_is_called_like_another_tag_is_not_it(site: Site) -> None:
    """A group cannot be named so that it passes for a role or a key."""
    sly = reader_of(Principal(role="viewer", key_id="k", groups=("hr,role:admin", "x\0role:admin")))
    assert not sly.may_find(("role:admin",))
    base = site.open([(["role:admin"], {})] * DOCUMENTS)
    assert base.documents(sly) == []
    assert (await base.search(Query(text=SECRETS[0], reader=sly))).hits == ()
    assert (await base.search(Query(text=SECRETS[0], reader=Reader(())))).hits == ()
    base.close()
