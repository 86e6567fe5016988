"""/api/v1/knowledge over real HTTP: lists, texts, files in and out, searches, and what is refused."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.console_site import open_site

from penstock.http.serve import HttpServer, ServerAddress
from penstock.http.server import build

FILE = {"Content-Type": "application/octet-stream"}


class Client:
    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = f"{url}/api/v1/knowledge"
        self._session = session

    async def __call__(self, method: str, path: str = "", **options: Any) -> tuple[int, Any]:
        async with self._session.request(method, self._url + path, **options) as response:
            return response.status, json.loads(await response.read())


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Client]:
    async with open_site(tmp_path) as services:
        server = HttpServer(build(services), ServerAddress(port=0, drain_seconds=1))
        await server.start()
        async with aiohttp.ClientSession() as session:
            yield Client(server.url, session)
        await server.stop()


async def test_bases_and_documents_are_listed_with_counts_and_reasons(api: Client) -> None:
    status, bases = await api("GET")
    assert status == 200
    assert [(base["name"], base["counts"]["generation"]) for base in bases["data"]] == [("manuals", 1)]
    status, listed = await api("GET", "/manuals/documents?limit=2&offset=3")
    assert status == 200
    assert listed["total"] == 5
    assert [row["path"] for row in listed["data"]] == ["reports/Größe & Länge.txt", "reports/broken.pdf"]
    assert "broken" in listed["data"][1]["reason"]
    _, corrupt = await api("GET", "/manuals/documents?status=corrupt")
    assert [row["path"] for row in corrupt["data"]] == ["reports/broken.pdf"]
    _, named = await api("GET", "/manuals/documents?q=GRÖSSE")
    assert [row["path"] for row in named["data"]] == ["reports/Größe & Länge.txt"]


async def test_how_vectors_are_searched_is_listed(api: Client) -> None:
    await api("GET", "/manuals/search?q=wheel")
    _, bases = await api("GET")
    (base,) = bases["data"]
    index = base["index"]
    assert (index["generation"], index["rows"]) == (1, base["counts"]["chunks"])
    assert (index["graph_rows"], index["recall"], index["note"]) == (0, None, "")
    assert index["bytes"] >= index["rows"] * 2


async def test_a_hit_is_the_range_of_the_document_that_it_names(api: Client) -> None:
    _, by_address = await api("GET", "/manuals/search?q=turn+the+wheel&limit=2")
    status, by_body = await api("POST", "/manuals/search", json={"q": "turn the wheel", "limit": 2})
    assert status == 200
    assert by_address == by_body
    best = by_body["hits"][0]
    assert best["document"] == "guide/gate.md"
    assert best["text_score"] > 0
    assert 0 < best["vector_score"] <= 1
    status, part = await api(
        "GET", f"/manuals/documents/{best['document_id']}?start={best['start']}&end={best['end']}"
    )
    assert status == 200
    assert part["text"] == best["text"]
    assert part["document"]["path"] == "guide/gate.md"
    _, cut = await api("GET", f"/manuals/documents/{best['document_id']}/passages")
    assert (best["start"], best["end"]) in [(passage["start"], passage["end"]) for passage in cut["data"]]
    assert len(cut["data"]) == part["document"]["chunks"]


async def test_a_file_comes_in_and_goes_out(api: Client) -> None:
    status, row = await api("POST", "/manuals/documents?name=caf%C3%A9.txt", data="Coffee at nine.", headers=FILE)
    assert status == 201
    assert (row["path"], row["status"], row["uploaded"], row["chunks"]) == ("café.txt", "ok", True, 1)
    _, found = await api("GET", "/manuals/search?q=coffee")
    assert found["hits"][0]["document_id"] == row["id"]
    assert found["generation"] == 2
    status, gone = await api("DELETE", f"/manuals/documents/{row['id']}")
    assert (status, gone) == (200, {"id": row["id"], "removed": True})
    _, listed = await api("GET", "/manuals/documents?q=caf")
    assert listed["total"] == 0


@pytest.mark.parametrize(
    ("name", "data", "headers", "status", "words"),
    [
        ("tool.exe", b"x", FILE, 400, "'tool.exe' is not of a kind that can be read"),
        ("..", b"x", FILE, 400, "'..' is not a file name"),
        ("a.txt", b"x", {"Content-Type": "text/plain"}, 415, "application/octet-stream"),
        ("a.txt", b"x", {"Content-Type": "multipart/form-data"}, 415, "application/octet-stream"),
        ("a.txt", b"x" * 1_010_000, FILE, 413, "1.0 MB"),
        ("a.txt", b"x" * 1_200_000, FILE, 413, "larger than 1 MB"),
    ],
)
async def test_what_cannot_be_taken_in_is_refused_with_the_reason(
    api: Client, name: str, data: bytes, headers: dict[str, str], status: int, words: str
) -> None:
    answered, body = await api("POST", "/manuals/documents", params={"name": name}, data=data, headers=headers)
    assert answered == status
    assert words in body["error"]["message"]
    _, listed = await api("GET", "/manuals/documents")
    assert listed["total"] == 5


async def test_files_of_the_folder_are_not_deleted(api: Client) -> None:
    _, listed = await api("GET", "/manuals/documents?q=gate")
    status, body = await api("DELETE", f"/manuals/documents/{listed['data'][0]['id']}")
    assert status == 400
    assert "is a file of the app's folder" in body["error"]["message"]


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/plans/documents", 404, "There is no knowledge 'plans'. There is: manuals."),
        ("/manuals/documents/doc_0", 404, "There is no document 'doc_0'"),
        ("/manuals/documents/doc_0/passages", 404, "There is no document 'doc_0'"),
        ("/manuals/documents?limit=0", 400, "'limit' must be"),
        ("/manuals/documents?status=fine", 400, "status"),
        ("/manuals/search", 400, "'q' is missing."),
        ("/manuals/search?q=a&generation=99", 404, "Generation 99 of the knowledge is not kept."),
        ("/manuals/search?q=" + "a" * 2001, 400, "'q' must be"),
    ],
)
async def test_wrong_requests_say_what_is_wrong(api: Client, path: str, status: int, words: str) -> None:
    answered, body = await api("GET", path)
    assert (answered, words in body["error"]["message"]) == (status, True), body
