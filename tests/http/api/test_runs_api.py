"""Runs, generations and checks of a knowledge base over HTTP: what is answered, and what is refused and why."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.keyed_site import OTHER, KeyedSite, keyed_site
from support.knowledge_site import SECRET, open_knowledge_site

ONE = "/api/v1/knowledge/manuals"
JSON = {"content-type": "application/json"}
ROUTES = [
    ("POST", "/ingest"),
    ("POST", "/runs"),
    ("GET", "/runs"),
    ("GET", "/runs/run_x"),
    ("POST", "/runs/run_x/cancel"),
    ("GET", "/generations"),
    ("GET", "/generations/diff"),
    ("POST", "/rollback"),
    ("POST", "/publish"),
    ("POST", "/verify"),
]


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[KeyedSite]:
    async with keyed_site(tmp_path, open_knowledge_site) as site:
        yield site


@pytest.fixture
async def admin(it: KeyedSite) -> str:
    return await it.secret("the admin", "admin")


async def ask(it: KeyedSite, key: str | None, method: str, path: str) -> tuple[int, Any]:
    body = {"data": b"{}"} if method == "POST" else {}
    answer = await it.ask(method, ONE + path, key, headers=JSON, **body)
    return answer.status, answer.json


async def refused(it: KeyedSite, key: str | None, method: str, path: str) -> tuple[int, str]:
    status, body = await ask(it, key, method, path)
    return status, str(body["error"]["message"])


async def test_runs_are_listed_newest_first_and_shown(it: KeyedSite, admin: str) -> None:
    status, found = await ask(it, admin, "GET", "/runs")
    runs = found["data"]
    assert (status, [(run["trigger"], run["state"], run["generation"]) for run in runs]) == (
        200,
        [("push", "done", 3), ("cli", "partial", 2), ("api", "done", 1)],
    )
    assert runs[1]["report"]["sources"] == [
        {"source": "web.handbook", "reason": "handbook.example cannot be reached. Try again later."}
    ]
    assert (await ask(it, admin, "GET", f"/runs/{runs[1]['id']}")) == (200, runs[1])
    _, first = await ask(it, admin, "GET", "/runs?limit=1")
    assert first["data"] == runs[:1]


async def test_a_run_is_started_and_ends(it: KeyedSite, admin: str, tmp_path: Path) -> None:
    (tmp_path / "docs/new.md").write_text("# New\n\nThe crane lifts nine tonnes.\n")
    status, run = await ask(it, admin, "POST", "/runs")
    assert (status, run["state"], run["trigger"]) == (202, "queued", "api")
    base = it.services.knowledge["manuals"]
    assert (await base.runs.over(run["id"])).state == "partial"
    status, shown = await ask(it, admin, "GET", f"/runs/{run['id']}")
    assert (shown["generation"], shown["report"]["added"]) == (4, 1)
    assert await refused(it, admin, "POST", f"/runs/{run['id']}/cancel") == (
        409,
        f"Run {run['id']} is partial, and cannot be cancelled any more.",
    )


async def test_readers_go_back_and_forth(it: KeyedSite, admin: str) -> None:
    _, listed = await ask(it, admin, "GET", "/generations")
    assert [(each["number"], each["published"]) for each in listed["data"]] == [(3, True), (2, False), (1, False)]
    status, shown = await ask(it, admin, "POST", "/rollback")
    assert (status, shown["number"], shown["published"], shown["pinned"]) == (200, 2, True, True)
    status, shown = await ask(it, admin, "POST", "/rollback?number=1")
    assert (shown["number"], it.services.knowledge["manuals"].generation()) == (1, 1)
    status, shown = await ask(it, admin, "POST", "/publish")
    assert (status, shown["number"], shown["pinned"]) == (200, 3, False)


async def test_what_became_of_documents_is_told_to_who_may_read_them(it: KeyedSite, admin: str) -> None:
    _, changed = await ask(it, admin, "GET", "/generations/diff?before=1&after=2")
    assert {(each["change"], each["path"]) for each in changed["data"]} == {
        ("changed", "guide/gate.md"),
        ("added", "guide/weir.md"),
        ("removed", "guide/turbines.md"),
    }
    viewer = await it.secret("a viewer", "viewer")
    status, seen = await ask(it, viewer, "GET", "/generations/diff")
    assert (status, [each["path"] for each in seen["data"]]) == (200, ["notes/keys.txt"])
    owner = await it.secret("the owner", "owner")
    _, all_ = await ask(it, owner, "GET", "/generations/diff")
    assert [each["path"] for each in all_["data"]] == ["hr/pay.md", "notes/keys.txt"]


WRONG = [
    ("GET", "/runs/run_x", 404, "There is no run 'run_x'."),
    ("POST", "/runs/run_x/cancel", 404, "There is no run 'run_x'."),
    ("GET", "/runs?limit=0", 400, "limit"),
    ("GET", "/runs?limit=many", 400, "limit"),
    ("GET", "/generations/diff?before=9", 404, "Generation 9 of the knowledge is not kept."),
    ("GET", "/generations/diff?after=0", 400, "after"),
    ("POST", "/rollback?number=9", 404, "Generation 9 of the knowledge is not kept."),
    ("POST", "/rollback?number=-1", 400, "number"),
    ("POST", "/publish?number=99999999999999999999", 400, "number"),
    ("POST", "/verify?repair=perhaps", 400, "repair"),
]


async def test_what_there_is_not_is_named(it: KeyedSite, admin: str) -> None:
    for method, path, status, said in WRONG:
        answered, message = await refused(it, admin, method, path)
        assert (answered, said in message) == (status, True), f"{path}: {message}"
    assert it.services.knowledge["manuals"].generation() == 3


async def test_there_is_nothing_to_go_back_to(it: KeyedSite, admin: str) -> None:
    await ask(it, admin, "POST", "/rollback?number=1")
    assert await refused(it, admin, "POST", "/rollback") == (
        404,
        "No generation before 1 is kept. There is nothing to go back to.",
    )


async def test_without_a_key_and_with_too_small_a_role(it: KeyedSite) -> None:
    developer = await it.secret("a developer", "developer")
    for method, path in ROUTES:
        status, message = await refused(it, None, method, path)
        assert (status, "key" in message) == (401, True), f"{path}: {message}"
        if path == "/generations/diff":
            continue
        status, message = await refused(it, developer, method, path)
        assert (status, "needs the role admin" in message) == (403, True), f"{path}: {message}"


async def test_another_tenant(it: KeyedSite) -> None:
    """One whom the app is not open to finds no such knowledge; one whom it is open to changes nothing of it."""
    owner = await it.secret("owner of another", "owner", OTHER)
    for method, path in ROUTES:
        found = await refused(it, owner, method, path)
        assert found == (404, "There is no knowledge 'manuals'. There is: none."), path
    await it.open_app_to(OTHER)
    for method, path in ROUTES:
        status, body = await ask(it, owner, method, path)
        if path.startswith("/generations"):
            assert (status, SECRET in str(body), "hr/pay.md" in str(body)) == (200, False, False)
        else:
            assert (status, "manuals" in body["error"]["message"]) == (403, True), f"{path}: {body}"
    assert it.services.knowledge["manuals"].generation() == 3


def damage(folder: Path) -> None:
    [path] = folder.rglob("knowledge-manuals.db")
    with sqlite3.connect(path, timeout=30) as connection:
        connection.execute(
            "UPDATE document_text SET text = upper(text) WHERE document_row IN"
            " (SELECT row FROM document WHERE path = 'guide/weir.md')"
        )
    connection.close()


async def test_a_check_finds_damage_while_searches_go_on_and_a_repair_ends_it(
    it: KeyedSite, admin: str, tmp_path: Path
) -> None:
    status, report = await ask(it, admin, "POST", "/verify")
    assert (status, report["sound"], report["found"], report["generation"]) == (200, True, 0, 3)
    damage(tmp_path)
    asked = asyncio.create_task(ask(it, admin, "POST", "/verify"))
    assert (await ask(it, admin, "GET", "/search?q=granite"))[0] == 200
    _, report = await asked
    assert [(each["part"], each["subject"]) for each in report["differences"]] == [
        ("document", "folder: guide/weir.md")
    ]
    assert (report["sound"], report["repaired"]) == (False, False)
    _, report = await ask(it, admin, "POST", "/verify?repair=true")
    assert (report["sound"], report["repaired"], report["found"], report["left"]) == (True, True, 1, [])
    assert (await ask(it, admin, "POST", "/verify"))[1]["sound"]


async def test_a_check_tells_how_far_it_is(it: KeyedSite, admin: str) -> None:
    answer = await it.ask("POST", f"{ONE}/verify?stream=true", admin, headers=JSON, data=b"{}")
    assert answer.headers["content-type"].startswith("text/event-stream")
    first, *_, report, end, rest = answer.body.split("\n\n")
    assert first == 'data: {"progress":{"part":"waiting","done":0,"total":0}}'
    assert report.startswith('data: {"report":{"generation":3,"sound":true,')
    assert (end, rest) == ("data: [DONE]", "")


async def test_a_check_that_nobody_reads_any_more_ends(it: KeyedSite, admin: str) -> None:
    """It waits for its turn behind a run; who leaves leaves the turn to others."""
    base = it.services.knowledge["manuals"]
    headers = {**JSON, "authorization": f"Bearer {admin}"}
    asking = it.session.post(f"{it.url}{ONE}/verify?stream=true", headers=headers, data=b"{}")
    async with base._turn.taken(), asking as response:
        assert b"waiting" in await response.content.readline()
    assert (await asyncio.wait_for(base.verify(), 30)).sound
