"""Documents sent as JSON over real HTTP: who may, what is answered, what is refused."""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.console_site import open_site

from penstock.http.serve import HttpServer, ServerAddress
from penstock.http.server import build


class Client:
    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = f"{url}/api/v1/knowledge/manuals"
        self._session = session

    async def __call__(self, method: str, path: str = "/documents", **options: Any) -> tuple[int, Any]:
        async with self._session.request(method, self._url + path, **options) as response:
            return response.status, json.loads(await response.read())

    async def push(self, *documents: dict[str, Any]) -> tuple[int, Any]:
        return await self("POST", json={"documents": documents})


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Client]:
    async with open_site(tmp_path) as services:
        server = HttpServer(build(services), ServerAddress(port=0, drain_seconds=1))
        await server.start()
        async with aiohttp.ClientSession() as session:
            yield Client(server.url, session)
        await server.stop()


async def test_documents_are_taken_in_each_with_its_row(api: Client) -> None:
    data = base64.b64encode(b"<h1>Fees</h1><p>Twelve euros a night.</p>").decode()
    status, answer = await api.push(
        {"key": "fees.html", "data": data, "title": "Harbour fees", "url": "https://example.com/fees"},
        {"path": "note", "text": "Boats leave at noon.", "metadata": {"team": "port", "tags": ["a"], "year": 2026}},
        {"key": "broken", "data": "AAAA", "kind": "pdf"},
    )
    assert status == 201
    rows = answer["data"]
    assert [(row["path"], row["kind"], row["status"]) for row in rows] == [
        ("fees.html", "html", "ok"),
        ("note", "text", "ok"),
        ("broken", "pdf", "corrupt"),
    ]
    assert (rows[0]["title"], rows[0]["url"], rows[0]["source"]) == (
        "Harbour fees",
        "https://example.com/fees",
        "pushed",
    )
    assert rows[1]["metadata"] == {"team": "port", "tags": ["a"], "year": 2026}
    _, found = await api("GET", "/search?q=twelve+euros&limit=1")
    assert found["hits"][0]["document"] == "fees.html" and found["generation"] == answer["generation"]
    again = await api.push({"path": "note", "text": "Boats leave at noon.", "metadata": rows[1]["metadata"]})
    assert again[1]["data"][0]["id"] == rows[1]["id"]


async def test_a_pushed_document_can_be_deleted_and_is_served_no_more(api: Client) -> None:
    _, answer = await api.push({"key": "a.txt", "text": "Zanzibar."})
    [row] = answer["data"]
    assert (await api("DELETE", f"/documents/{row['id']}"))[0] == 200
    _, found = await api("GET", "/search?q=Zanzibar")
    assert "a.txt" not in [hit["document"] for hit in found["hits"]]
    _, listed = await api("GET", "/documents?q=a.txt")
    assert listed["total"] == 0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"documents": []}, "documents"),
        ({}, "documents"),
        ({"documents": [{"key": "a.txt"}]}, "documents[0] needs either text or data."),
        ({"documents": [{"text": "x"}]}, "documents[0] needs either a key or a path."),
        ({"documents": [{"key": "a.txt", "text": "x", "data": "eA=="}]}, "documents[0] needs either text or data."),
        ({"documents": [{"key": "a.txt", "data": "%%%"}]}, "documents[0].data is not base64."),
        ({"documents": [{"key": "a.txt", "text": "x", "kind": "exe"}]}, "documents[0].kind"),
        ({"documents": [{"key": "a.txt", "text": "x", "metadata": {"a": {"b": 1}}}]}, "documents[0].metadata"),
        ({"documents": [{"key": "a.txt", "text": "x", "readers": ["hr"]}]}, "documents[0].readers has 'hr'."),
    ],
)
async def test_what_is_wrong_is_named_by_its_place(api: Client, body: dict[str, Any], message: str) -> None:
    status, answer = await api("POST", json=body)
    assert status == 400
    assert message in json.dumps(answer, ensure_ascii=False)


async def test_a_file_still_needs_its_name_and_a_form_is_not_taken(api: Client) -> None:
    file = {"Content-Type": "application/octet-stream"}
    status, answer = await api("POST", data=b"x", headers=file)
    assert status == 400 and "The file needs a name." in json.dumps(answer)
    assert (await api("POST", "/documents?name=a.txt", data=b"Words.", headers=file))[0] == 201
    status, answer = await api("POST", data={"documents": "x"})
    assert status == 415 and "takes application/octet-stream or application/json" in json.dumps(answer)
