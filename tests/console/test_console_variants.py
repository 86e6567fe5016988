"""Pages of apps of other shapes: several knowledge bases, none, an empty one, several models to ask."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from support.console_site import open_site
from support.gateway_site import model

from penstock.config import KnowledgeSettings
from penstock.console.routes import routes
from penstock.gateway.registry import Registry
from penstock.gateway.services import Services
from penstock.http.server import build
from penstock.knowledge.base import EVERYTHING, KnowledgeBase
from penstock.testing import FakeEmbedder


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    async with open_site(tmp_path) as services:
        yield services


def client(services: Services) -> TestClient:
    return TestClient(build(services, routes()), base_url="http://127.0.0.1")


async def test_several_bases_are_listed_and_an_empty_one_says_how_to_fill_it(
    services: Services, tmp_path: Path
) -> None:
    plans = KnowledgeBase.open(tmp_path / "knowledge-plans.db", "plans", FakeEmbedder())
    more = {**services.settings.knowledge, "plans": KnowledgeSettings(sources=("plans/**/*",))}
    several = replace(
        services,
        knowledge={**services.knowledge, "plans": plans},
        settings=services.settings.model_copy(update={"knowledge": more}),
    )
    with client(several) as browser:
        listed = browser.get("/knowledge").text
        assert "5 documents" in listed
        assert 'href="/knowledge/plans"' in listed
        empty = browser.get("/knowledge/plans").text
        assert "No documents yet" in empty
        assert "0 documents, 0 passages, generation 0" in empty
        assert "Nothing here fits" in browser.get("/knowledge/plans/search?q=gate").text
        document = several.knowledge["manuals"].documents(EVERYTHING)[0]
        assert 'href="/knowledge">Knowledge</a>' in browser.get(f"/knowledge/manuals/{document.id}").text
    plans.close()


async def test_an_app_without_knowledge_says_what_to_do(services: Services) -> None:
    with client(replace(services, knowledge={})) as browser:
        assert "This app has no knowledge" in browser.get("/knowledge").text
        assert "This app has no documents" in browser.get("/chat").text
        assert browser.get("/knowledge/manuals").status_code == 404


async def test_several_models_can_be_asked_each_by_one_name(services: Services) -> None:
    tiny = model(name="tiny")
    registry = Registry([tiny, model(tiny.provider, name="default"), *services.registry])
    with client(replace(services, registry=registry)) as browser:
        page = browser.get("/chat").text
    assert page.index('<option value="plant" data-grounded>') < page.index("(no documents)")
    assert page.count("(no documents)") == 1


async def test_htmx_gets_the_block_that_it_fills_and_history_the_whole_page(services: Services) -> None:
    with client(services) as browser:
        part = browser.get("/traces", headers={"HX-Request": "true"})
        assert part.text.lstrip().startswith('<section id="results"')
        assert "</html>" not in part.text
        whole = browser.get("/traces", headers={"HX-Request": "true", "HX-History-Restore-Request": "true"})
        assert "</html>" in whole.text
        hits = browser.get("/knowledge/manuals/search?q=gate", headers={"HX-Request": "true", "HX-Target": "hits"})
        assert '<ol class="hits">' in hits.text
        assert "<table" not in hits.text
        assert part.headers["vary"] == whole.headers["vary"] == "HX-Request"


async def test_pages_forbid_everything_from_elsewhere(services: Services) -> None:
    with client(services) as browser:
        for path in ("/", "/traces", "/knowledge/manuals", "/traces/none"):
            headers = browser.get(path).headers
            assert headers["content-security-policy"].startswith("default-src 'self'; ")
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"
