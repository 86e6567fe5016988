"""The gate of the server: local until the first key, then for those who show one; what each may ask and see."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from openai import AsyncOpenAI, AuthenticationError, NotFoundError, PermissionDeniedError
from support.keyed_site import OTHER, KeyedSite, keyed_site

from penstock.audit.record import COMMAND_LINE, AuditFilter
from penstock.traces.span import TraceFilter


@pytest_asyncio.fixture
async def it(tmp_path: Path) -> AsyncIterator[KeyedSite]:
    async with keyed_site(tmp_path) as site:
        yield site


async def test_the_first_key_ends_local_mode_at_once(it: KeyedSite) -> None:
    assert (await it.chat(None)).status == 200
    made = await it.ask("POST", "/api/v1/keys", json={"name": "ops", "role": "owner"})
    assert made.status == 201, made.body
    secret = made.json["secret"]
    assert (await it.chat(None)).status == 401
    assert (await it.ask("GET", "/api/v1/traces")).status == 401
    assert (await it.chat(secret)).status == 200
    assert (await it.ask("GET", "/api/v1/whoami", secret)).json["mode"] == "keyed"
    await it.access.keys.revoke(COMMAND_LINE, made.json["key"]["id"])
    assert (await it.chat(None)).status == 401, "without a key that works, the server is closed, not open"


async def test_a_host_of_any_name_is_served_once_there_are_keys(it: KeyedSite) -> None:
    elsewhere = {"host": "gateway.example.com"}
    assert (await it.ask("GET", "/v1/models", headers=elsewhere)).status == 403
    secret = await it.secret("web")
    assert (await it.ask("GET", "/v1/models", secret, headers=elsewhere)).status == 200


@pytest.mark.parametrize("header", ["x-api-key", "api-key", "authorization", "AUTHORIZATION"])
async def test_every_client_s_way_to_show_a_key(it: KeyedSite, header: str) -> None:
    secret = await it.secret("web")
    value = f"bearer {secret}" if header.lower() == "authorization" else secret
    assert (await it.ask("GET", "/v1/models", headers={header: value})).status == 200


async def test_the_official_client_is_told_what_is_wrong(it: KeyedSite) -> None:
    secret = await it.secret("web", models=("nothing-*",))
    viewer = await it.secret("looker", "viewer")
    for key, error in (
        (secret, NotFoundError),
        ("pst_wrong", AuthenticationError),
        (viewer, PermissionDeniedError),
    ):
        async with AsyncOpenAI(base_url=f"{it.url}/v1", api_key=key, max_retries=0) as client:
            with pytest.raises(error):
                await client.chat.completions.create(model="plant", messages=[{"role": "user", "content": "Hi"}])


async def test_a_key_for_some_models_knows_of_no_others(it: KeyedSite) -> None:
    all_, none = await it.secret("all", models=("pla*",)), await it.secret("none", models=("gpt-*",))
    assert (await it.chat(all_)).status == 200
    assert [model["id"] for model in (await it.ask("GET", "/v1/models", all_)).json["data"]] == ["plant"]
    assert (await it.ask("GET", "/v1/models", none)).json["data"] == []
    for answer in (await it.chat(none), await it.ask("GET", "/v1/models/plant", none)):
        assert (answer.status, answer.json["error"]["code"]) == (404, "model_not_found")
        assert "Served are none yet" in answer.json["error"]["message"]
    missing = await it.ask(
        "POST", "/v1/chat/completions", none, json={"messages": [{"role": "user", "content": "x"}]}
    )
    assert missing.status == 400 and "plant" not in missing.body


async def test_a_key_for_some_routes(it: KeyedSite) -> None:
    secret = await it.secret("embedder", "admin", routes=("/v1/embeddings", "/v1/models*"))
    assert (await it.ask("GET", "/v1/models", secret)).status == 200
    for path in ("/v1/chat/completions", "/api/v1/keys"):
        refused = await it.ask("POST", path, secret, json={})
        assert refused.status == 403
        assert "may not use" in refused.body


async def test_an_app_is_its_project_s_until_it_is_opened(it: KeyedSite) -> None:
    secret = await it.secret("team b", "owner", OTHER)
    assert (await it.chat(secret)).status == 404
    assert (await it.ask("GET", "/v1/models", secret)).json["data"] == []
    assert (await it.ask("GET", "/api/v1/knowledge", secret)).json["data"] == []
    assert (await it.ask("GET", "/api/v1/knowledge/manuals/search?q=gate", secret)).status == 404
    await it.open_app_to(OTHER)
    assert (await it.chat(secret)).status == 200
    assert (await it.ask("GET", "/api/v1/knowledge/manuals/search?q=gate", secret)).status == 200
    changed = await it.ask("POST", "/api/v1/knowledge/manuals/ingest", secret, json={})
    assert changed.status == 403 and "of project 'local'" in changed.body


async def test_traces_and_feedback_are_their_project_s(it: KeyedSite) -> None:
    await it.open_app_to(OTHER)
    ours, theirs = await it.secret("a", "developer"), await it.secret("b", "developer", OTHER)
    asked = {key: (await it.chat(key)).headers["x-penstock-trace-id"] for key in (ours, theirs)}
    assert await it.services.traces.flush()
    for key in (ours, theirs):
        listed = (await it.ask("GET", "/api/v1/traces", key)).json["data"]
        assert [trace["id"] for trace in listed] == [asked[key]]
        for other, trace in asked.items():
            wanted = 200 if other == key else 404
            assert (await it.ask("GET", f"/api/v1/traces/{trace}", key)).status == wanted
            judged = await it.ask("POST", "/api/v1/feedback", key, json={"trace_id": trace, "score": "up"})
            assert judged.status == wanted
    assert len((await it.services.traces.list(TraceFilter(project_id=OTHER))).traces) == 1


async def test_figures_of_the_server_are_for_its_own_project(it: KeyedSite) -> None:
    ours, theirs = await it.secret("a", "viewer"), await it.secret("b", "owner", OTHER)
    assert (await it.ask("GET", "/metrics", ours)).status == 200
    assert (await it.ask("GET", "/metrics", theirs)).status == 403


async def test_readiness_names_no_part_to_strangers(it: KeyedSite) -> None:
    secret = await it.secret("web")
    assert (await it.ask("GET", "/health/ready")).json == {"status": "ready", "not_ready": []}
    assert (await it.ask("GET", "/health/ready", secret)).status == 200


async def test_keys_over_the_api(it: KeyedSite) -> None:
    owner = await it.secret("owner", "owner")
    body = {"name": "web", "project_id": OTHER, "role": "admin", "limits": [{"usd": 5, "window": "day"}]}
    made = await it.ask("POST", "/api/v1/keys", owner, json=body)
    assert made.status == 201
    secret, key = made.json["secret"], made.json["key"]
    assert key["limits"] == [{"usd": 5.0, "window": "day"}] and key["project_id"] == OTHER
    assert "secret" not in (await it.ask("GET", f"/api/v1/keys/{key['id']}", owner)).json
    me = (await it.ask("GET", "/api/v1/whoami", secret)).json
    assert (me["project_id"], me["role"], me["key_id"]) == (OTHER, "admin", key["id"])
    rotated = await it.ask("POST", f"/api/v1/keys/{key['id']}/rotate", secret, json={"overlap_seconds": 60})
    assert rotated.status == 201
    successor = rotated.json["secret"]
    assert (await it.ask("GET", "/api/v1/whoami", successor)).status == 200
    ended = await it.ask("POST", f"/api/v1/keys/{key['id']}/revoke", owner)
    assert [each["id"] for each in ended.json["data"]] == [key["id"]]
    assert (await it.ask("GET", "/api/v1/whoami", secret)).status == 401
    assert (await it.ask("GET", "/api/v1/whoami", successor)).status == 200
    listed = (await it.ask("GET", f"/api/v1/keys?project_id={OTHER}", owner)).json["data"]
    assert {each["name"] for each in listed} == {"web"} and secret not in str(listed)


BAD_KEYS: dict[str, tuple[dict[str, Any], int, str]] = {
    "no name": ({}, 400, "name"),
    "no such role": ({"name": "x", "role": "king"}, 400, "role"),
    "a field that is not one": ({"name": "x", "model": "y"}, 400, "model"),
    "a limit of nothing": ({"name": "x", "limits": [{}]}, 400, "limits[0]: limits nothing"),
    "a limit misspelt": ({"name": "x", "limits": [{"request": 5}]}, 400, "limits[0].request"),
    "a time without a zone": ({"name": "x", "expires_at": "2030-01-01T00:00:00"}, 400, "expires_at"),
    "a time that has gone": ({"name": "x", "expires_at": "2001-01-01T00:00:00Z"}, 400, "expired already"),
    "no such project": ({"name": "x", "project_id": "nobody"}, 404, "There is no project 'nobody'"),
}


@pytest.mark.parametrize(("body", "status", "message"), BAD_KEYS.values(), ids=BAD_KEYS.keys())
async def test_what_no_key_can_be_is_named(it: KeyedSite, body: dict[str, Any], status: int, message: str) -> None:
    answer = await it.ask("POST", "/api/v1/keys", json=body)
    assert (answer.status, message in answer.json["error"]["message"]) == (status, True), answer.body


async def test_projects_over_the_api(it: KeyedSite) -> None:
    owner = await it.secret("owner", "owner")
    made = await it.ask("POST", "/api/v1/projects", owner, json={"id": "team-c", "title": "C"})
    assert made.status == 201
    secret = await it.secret("c", "owner", "team-c")
    assert [each["id"] for each in (await it.ask("GET", "/api/v1/projects", secret)).json["data"]] == ["team-c"]
    assert (await it.ask("PATCH", "/api/v1/projects/team-c", secret, json={"title": "Mine"})).status == 403
    closed = await it.ask("PATCH", "/api/v1/projects/team-c", owner, json={"archived": True})
    assert closed.json["archived_us"] is not None and closed.json["title"] == "C"
    assert (await it.ask("GET", "/api/v1/whoami", secret)).status == 401


async def test_audit_over_the_api(it: KeyedSite) -> None:
    owner, admin = await it.secret("owner", "owner"), await it.secret("b", "admin", OTHER)
    await it.ask("POST", "/api/v1/keys", admin, json={"name": "made by b"})
    await it.ask("POST", "/api/v1/keys", owner, json={"name": "made by owner"})
    theirs = (await it.ask("GET", "/api/v1/audit", admin)).json["data"]
    assert {each["project_id"] for each in theirs} == {OTHER}
    assert (theirs[0]["action"], theirs[0]["actor"], theirs[0]["address"]) == ("key.created", "b", "127.0.0.1")
    assert theirs[0]["after"]["name"] == "made by b"
    assert (await it.ask("GET", "/api/v1/audit?project_id=local", admin)).json["data"] == []
    page = (await it.ask("GET", "/api/v1/audit?limit=1", owner)).json
    assert page["data"][0]["after"]["name"] == "made by owner" and page["next_before"] == page["data"][0]["number"]
    assert (await it.ask("GET", "/api/v1/audit/verify", owner)).json["broken_at"] is None
    assert (await it.ask("GET", "/api/v1/audit/verify", await it.secret("ob", "owner", OTHER))).status == 403


async def test_what_changes_documents_is_recorded(it: KeyedSite) -> None:
    headers = {"content-type": "application/octet-stream"}
    await it.ask("POST", "/api/v1/knowledge/manuals/documents?name=a.txt", data=b"A gate.", headers=headers)
    (record,) = await it.access.audit.list(AuditFilter(project_id="local"))
    assert (record.action, record.target, record.actor) == ("document.added", "a.txt", "local")


async def test_keys_that_are_shown_together_are_each_their_own(it: KeyedSite) -> None:
    secrets = [await it.secret(f"key {i}") for i in range(20)]
    answers = await asyncio.gather(*(it.ask("GET", "/api/v1/whoami", secret) for secret in secrets * 5))
    assert [answer.json["name"] for answer in answers] == [f"key {i}" for i in range(20)] * 5
