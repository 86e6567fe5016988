"""/api/v1/models and what /metrics and `penstock models` make of it."""

from pathlib import Path

from support.keyed_site import keyed_site
from support.served_routes import always, at, model, registry, served

from penstock.audit.record import AuditFilter
from penstock.cli.models import remarks, row
from penstock.gateway.routing.report import report
from penstock.testing import ProviderServer


async def test_the_targets_of_every_model_are_told(tmp_path: Path) -> None:
    async with ProviderServer() as good, ProviderServer(faults=always("server_error")) as bad:
        smart = model(
            targets=[at(bad, "corp/bad", weight=1000), at(good, "corp/good", max_in_flight=8)],
            fallback=["backup"],
            longer="backup",
            strategy="weighted",
        )
        async with served(tmp_path, smart=smart, backup=model(**at(good, "corp/backup"))) as it:
            for _ in range(8):
                assert (await it.chat(model="smart"))[0] == 200
            status, found, _ = await it.get("/api/v1/models")
            text = (await it.get("/metrics"))[1].decode()
            told = report(it.services.registry)
    assert status == 200
    smart_told, backup = found["data"]
    assert (smart_told["name"], smart_told["names"], smart_told["fallback"]) == ("smart", ["smart"], ["backup"])
    assert (backup["name"], backup["names"]) == ("backup", ["backup", "corp/backup"])
    first, second = smart_told["targets"]
    assert (first["number"], first["name"], first["state"], first["ejections"]) == (1, "corp/bad", "ejected", 1)
    assert first["failed"] == {"server_error": 5}
    assert (first["error_share"], first["p50"]) == (1.0, None)
    assert 0 < first["probe_in"] <= 30
    assert (second["state"], second["answered"], second["error_share"], second["max_in_flight"]) == (
        "healthy",
        8,
        0.0,
        8,
    )
    assert 0 < second["p50"] <= second["p99"]
    assert second["average"] > 0
    assert found["budget"]["attempts"] == 5
    assert smart_told["retries"] == 5
    for line in (
        'penstock_attempts_total{model="smart",target="corp/bad"} 5.0',
        'penstock_attempt_failures_total{kind="server_error",model="smart",target="corp/bad"} 5.0',
        'penstock_ejections_total{model="smart",target="corp/bad"} 1.0',
        'penstock_target_up{model="smart",target="corp/bad"} 0.0',
        'penstock_target_up{model="smart",target="corp/good"} 1.0',
        'penstock_retries_total{model="smart"} 5.0',
        'penstock_fallbacks_total{model="smart",reason="failed"} 0.0',
        'penstock_hedges_total{model="smart"} 0.0',
        "penstock_retry_budget_denied_total 0.0",
    ):
        assert line in text
    cells = row(told.data[0], told.data[0].targets[1])
    assert cells[:7] == ("smart", "2", "corp/good", "healthy", "0/8", "8", "0.0%")
    assert remarks(told.data[0]) == [
        "falls back to backup; 0 requests did",
        "longer requests go to backup; 0 did",
        "5 retries, 0 hedges",
    ]


async def test_a_target_is_taken_out_and_put_back(tmp_path: Path) -> None:
    async with ProviderServer() as one, ProviderServer() as two:
        route = model(targets=[at(one, "corp/one"), at(two, "corp/two")])
        async with served(tmp_path, main=route, single=model(**at(one, "corp/single"))) as it:
            status, told, _ = await it.post("/api/v1/models/main/targets/1/eject", {})
            assert (status, told["name"], told["state"], told["probe_in"]) == (200, "corp/one", "held", None)
            for _ in range(20):
                assert (await it.chat(model="main"))[0] == 200
            assert (len(one.received), len(two.received)) == (0, 20)
            await it.post("/api/v1/models/main/targets/2/eject", {})
            status, answer, _ = await it.chat(model="main")
            assert status == 503
            assert answer["error"]["message"].startswith("All targets of 'main' were taken out of service.")
            status, told, _ = await it.post("/api/v1/models/main/targets/1/restore", {})
            assert (status, told["state"]) == (200, "healthy")
            assert (await it.chat(model="main"))[0] == 200
            assert len(one.received) == 1
            status, told, _ = await it.post("/api/v1/models/corp/single/targets/1/eject", {})
            assert (status, told["state"]) == (200, "held"), "by its other name, which has a slash"
            assert (await it.chat(model="single"))[0] == 503


async def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    async with ProviderServer() as one, served(tmp_path, main=model(**at(one))) as it:
        status, answer, _ = await it.post("/api/v1/models/man/targets/1/eject", {})
        assert (status, answer["error"]["message"]) == (
            404,
            "There is no model 'man'. GET /api/v1/models lists them.",
        )
        status, answer, _ = await it.post("/api/v1/models/main/targets/2/restore", {})
        assert status == 404
        assert "'main' has no target 2; its targets are 1 to 1." in answer["error"]["message"]


async def test_who_may_see_and_change_the_targets(tmp_path: Path) -> None:
    async with ProviderServer() as one, keyed_site(tmp_path) as it:
        for each in registry(main=model(**at(one))):
            it.services.registry.add(each)
        viewer, admin = await it.secret("viewer", "viewer"), await it.secret("admin", "admin")
        stranger = await it.secret("stranger", "owner", "team-b")
        place = "/api/v1/models/main/targets/1"
        assert (await it.ask("GET", "/api/v1/models", viewer)).json["data"][0]["name"] == "main"
        assert (await it.ask("GET", "/api/v1/models", stranger)).status == 403
        for key in (None, viewer, stranger):
            refused = await it.ask("POST", f"{place}/eject", key, json={})
            assert refused.status == (401 if key is None else 403)
        assert (await it.ask("POST", f"{place}/eject", admin, json={})).json["state"] == "held"
        assert (await it.ask("POST", f"{place}/restore", admin, json={})).json["state"] == "healthy"
        restored, ejected = (await it.access.audit.list(AuditFilter(project_id="local")))[:2]
        assert (ejected.action, ejected.target, ejected.actor) == ("target.ejected", "main/1", "admin")
        assert restored.action == "target.restored"
        assert restored.address == "127.0.0.1"
