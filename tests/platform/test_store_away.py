"""A vector database that goes away while it is searched: answers go on, and it is told where people look."""

import asyncio
from pathlib import Path

import pytest
from support.chroma_server import ChromaServer
from support.served_platform import Served, served

from penstock.cli.stores import check_stores
from penstock.config import load

pytest.importorskip("chromadb", reason="Chroma for tests: pip install chromadb")
pytestmark = pytest.mark.usefixtures("minilm_folder")
SEARCH = "/api/v1/knowledge/docs/search?q=gate&mode=dense"


def lines(url: str) -> list[str]:
    return [
        "[models.default]",
        'use = "corp/large"',
        'base_url = "http://127.0.0.1:1/v1"',
        "[knowledge.docs]",
        'sources = ["docs/**/*"]',
        "[knowledge.docs.store]",
        f'url = "{url}"',
    ]


async def overview(it: Served) -> str:
    async with it.session.get(f"{it.url}/overview") as response:
        return await response.text()


async def test_it_is_degraded_and_not_down(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/gate.md").write_text("# Gate\n\nThe gate opens at nine.\n")
    with ChromaServer() as server:
        place = server.url.removeprefix("chroma://")
        async with served(tmp_path, *lines(server.url)) as it:
            assert (await it.ask("POST", "/api/v1/knowledge/docs/ingest", {}))[0] == 200
            status, found = await it.ask("GET", SEARCH)
            assert (status, len(found["hits"])) == (200, 1)
            ready = await it.ask("GET", "/health/ready")
            assert ready == (200, {"status": "ready", "not_ready": []}), ready
            assert "notice warn degraded" not in await overview(it)
            [finding] = await asyncio.to_thread(lambda: list(check_stores(load(tmp_path))))
            assert (finding.state, place in finding.detail) == ("ok", True)
            server.stop()

            status, here = await it.ask("GET", SEARCH)
            assert (status, here["hits"][0]["chunk_id"]) == (200, found["hits"][0]["chunk_id"])
            status, health = await it.ask("GET", "/health/ready")
            assert (status, health["status"], health["not_ready"]) == (200, "ready", [])
            [degraded] = health["degraded"]
            assert degraded["name"] == "knowledge.docs"
            assert f"Chroma at {place} cannot be reached" in degraded["reason"]
            assert "Searches go on in the knowledge's own file" in degraded["hint"]
            page = await overview(it)
            assert "knowledge.docs" in page
            assert f"Chroma at {place} cannot be reached" in page
            [finding] = await asyncio.to_thread(lambda: list(check_stores(load(tmp_path))))
            assert (finding.state, f"Chroma at {place}" in finding.detail) == ("warn", True)

            (tmp_path / "docs/new.md").write_text("# New\n\nThe crane lifts nine tonnes.\n")
            status, body = await it.ask("POST", "/api/v1/knowledge/docs/ingest", {})
            assert (status, "cannot be reached" in body["error"]["message"]) == (503, True)
    [finding] = check_stores(load(tmp_path))
    assert (finding.state, f"nobody answers at {place}" in finding.detail) == ("warn", True)
    assert finding.advice


async def test_a_server_that_starts_without_it_says_so_at_once(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/gate.md").write_text("# Gate\n\nThe gate opens at nine.\n")
    async with served(tmp_path, *lines("qdrant://127.0.0.1:1")) as it:
        _, health = await it.ask("GET", "/health/ready")
        assert [(each["name"], "127.0.0.1:1" in each["reason"]) for each in health["degraded"]] == [
            ("knowledge.docs", True)
        ]
