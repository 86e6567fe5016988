"""Who sees what of a knowledge base in the console: nothing without a key, and restricted documents on no page."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.keyed_site import OTHER, KeyedSite, keyed_site
from support.knowledge_site import SECRET, open_knowledge_site

from penstock.exchange import Role
from penstock.knowledge.base import EVERYTHING

BASE = "/knowledge/manuals"
FOR_READERS = ("", "/search?q=what+is+the+engineer+paid", "/map", "/map/points", "/gaps")
FOR_KEEPERS = ("/sources", "/runs", "/generations")
FORMS = ("/runs", "/runs/run_1/cancel", "/generations/1/publish", "/gaps/check", "/gaps/gap_1")
WORDS = ("hr/pay.md", "nine thousand", "intra.example")


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[KeyedSite]:
    async with keyed_site(tmp_path, open_knowledge_site) as site:
        yield site


async def cookie(
    it: KeyedSite, role: Role, project: str = "local", *, groups: tuple[str, ...] = ()
) -> dict[str, str]:
    secret = await it.secret(f"{role} {project} {groups}", role, project, groups=groups)
    answer = await it.ask("POST", "/signin", data={"key": secret}, headers={"origin": it.url})
    return {"cookie": answer.headers["set-cookie"].partition(";")[0], "origin": it.url}


def pay_document(it: KeyedSite) -> str:
    rows = it.services.knowledge["manuals"].documents(EVERYTHING)
    return next(row.id for row in rows if row.path == "hr/pay.md")


async def test_without_a_key_there_is_nothing(it: KeyedSite) -> None:
    await it.secret("first", "owner")
    for path in (*FOR_READERS, *FOR_KEEPERS, f"/{pay_document(it)}"):
        answer = await it.ask("GET", BASE + path)
        assert answer.status in (303, 307, 401), path
        assert not any(word in answer.body for word in (*WORDS, "guide/gate.md")), path
    for path in FORMS:
        assert (await it.ask("POST", BASE + path, data={}, headers={"origin": it.url})).status in (303, 401), path


async def test_a_closed_app_does_not_exist_for_other_projects(it: KeyedSite) -> None:
    theirs = await cookie(it, "owner", OTHER)
    for path in (*FOR_READERS, *FOR_KEEPERS, f"/{pay_document(it)}"):
        answer = await it.ask("GET", BASE + path, headers=theirs)
        assert answer.status == 404, path
        assert "There is no knowledge &#39;manuals&#39;" in answer.body, path


async def test_an_open_app_is_read_by_others_and_kept_by_its_own(it: KeyedSite) -> None:
    await it.open_app_to(OTHER)
    reader, owner = await cookie(it, "viewer", OTHER), await cookie(it, "owner", OTHER)
    for who in (reader, owner):
        for path in FOR_READERS:
            assert (await it.ask("GET", BASE + path, headers=who)).status == 200, path
        for path in FOR_KEEPERS:
            assert (await it.ask("GET", BASE + path, headers=who)).status == 403, path
    page = await it.ask("GET", BASE, headers=owner)
    assert "guide/gate.md" in page.body
    assert "Drop files" not in page.body
    assert ">Runs</a>" not in page.body
    for path in FORMS[:4]:
        assert (await it.ask("POST", BASE + path, data={}, headers=owner)).status == 403, path


async def test_restricted_documents_are_on_no_page_of_others(it: KeyedSite) -> None:
    await it.secret("first", "owner")
    document = pay_document(it)
    member = await cookie(it, "viewer", groups=("hr",))
    shown = await it.ask("GET", f"{BASE}/{document}", headers=member)
    assert SECRET in shown.body
    for role in ("viewer", "admin"):
        outsider = await cookie(it, role)  # type: ignore[arg-type]
        pages = (
            *FOR_READERS,
            *(FOR_KEEPERS if role == "admin" else ()),
            f"/{document}",
            f"/{document}?view=passages",
        )
        for path in (*pages, "/generations?before=2&after=3" if role == "admin" else "/map"):
            answer = await it.ask("GET", BASE + path, headers=outsider)
            assert not any(word in answer.body for word in WORDS), f"{role} {path}"
        assert (await it.ask("GET", f"{BASE}/{document}", headers=outsider)).status == 404
    for path in ("", "/search?q=what+is+the+engineer+paid", "/map/points"):
        answer = await it.ask("GET", BASE + path, headers=member)
        assert "hr/pay.md" in answer.body, path


async def test_maps_of_different_readers_are_kept_apart(it: KeyedSite) -> None:
    await it.secret("first", "owner")
    member, outsider = await cookie(it, "viewer", groups=("hr",)), await cookie(it, "viewer")
    for _ in range(2):
        seen = (await it.ask("GET", f"{BASE}/map/points", headers=member)).json
        hidden = (await it.ask("GET", f"{BASE}/map/points", headers=outsider)).json
        assert len(seen["passages"]) == len(hidden["passages"]) + 1


async def test_viewers_and_developers_do_not_keep_the_knowledge(it: KeyedSite) -> None:
    await it.secret("first", "owner")
    for role in ("viewer", "developer"):
        who = await cookie(it, role)  # type: ignore[arg-type]
        for path in FOR_KEEPERS:
            answer = await it.ask("GET", BASE + path, headers=who)
            assert answer.status == 403
            assert "needs the role admin" in answer.body
        for path in FORMS[:4]:
            assert (await it.ask("POST", BASE + path, data={}, headers=who)).status == 403, path
    viewer = await cookie(it, "viewer")
    assert (await it.ask("POST", f"{BASE}/gaps/gap_1", data={"state": "open"}, headers=viewer)).status == 403


async def test_forms_of_other_sites_are_refused(it: KeyedSite) -> None:
    await it.secret("first", "owner")
    admin = await cookie(it, "admin") | {"origin": "https://evil.example"}
    for path in FORMS:
        assert (await it.ask("POST", BASE + path, data={}, headers=admin)).status == 403, path
    assert it.services.knowledge["manuals"].generation() == 3


async def test_what_is_done_is_recorded(it: KeyedSite) -> None:
    await it.secret("first", "owner")
    owner = await cookie(it, "owner")
    back = await it.ask("POST", f"{BASE}/generations/1/publish", data={}, headers=owner)
    assert (back.status, back.headers["location"]) == (303, f"{BASE}/generations")
    assert it.services.knowledge["manuals"].generation() == 1
    forth = await it.ask("POST", f"{BASE}/generations/3/publish", data={}, headers=owner)
    assert forth.status == 303
    run = await it.ask("POST", f"{BASE}/runs", data={"allow_delete": "on"}, headers=owner)
    assert run.status == 303
    run_id = run.headers["location"].rpartition("/")[2]
    assert (await it.services.knowledge["manuals"].runs.over(run_id)).state == "partial"
    over = await it.ask("POST", f"{BASE}/runs/{run_id}/cancel", data={}, headers=owner)
    assert over.status == 409
    assert "cannot be cancelled any more" in over.body
    page = await it.ask("GET", "/audit", headers=owner)
    for action in ("knowledge.rolled_back", "knowledge.published", "knowledge.ingested", "knowledge.run_cancelled"):
        assert action in page.body


async def test_what_is_not_there_is_said_so(it: KeyedSite) -> None:
    await it.secret("first", "owner")
    owner = await cookie(it, "owner")
    for path, words in (
        ("/runs/run_0", "There is no run &#39;run_0&#39;."),
        ("/gaps/gap_0", "There is no gap &#39;gap_0&#39;."),
        ("/generations?after=9", "Generation 9 of the knowledge is not kept."),
        ("/search?q=a&generation=9", "Generation 9 of the knowledge is not kept."),
    ):
        answer = await it.ask("GET", BASE + path, headers=owner)
        assert (answer.status, words in answer.body) == (404, True), path
    gone = await it.ask("POST", f"{BASE}/generations/9/publish", data={}, headers=owner)
    assert gone.status == 404
