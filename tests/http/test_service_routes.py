"""/health, /metrics and the OpenAPI file."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
from prometheus_client.parser import text_string_to_metric_families
from support.gateway_site import Site, site

from penstock.seams import EngineHealth


def watch(it: Site, **checks: Callable[[], EngineHealth]) -> None:
    it.server.app.state.services = replace(it.services, health=checks)


async def test_health(tmp_path: Path) -> None:
    state = {"now": EngineHealth(state="starting", model="tiny", detail="reading the weights")}
    async with site(tmp_path) as it:
        watch(it, tiny=lambda: state["now"])
        assert (await it.get("/health/live"))[:2] == (200, {"status": "live"})
        status, answer, _ = await it.get("/health/ready")
        assert status == 503
        assert answer == {
            "status": "not_ready",
            "not_ready": [{"name": "tiny", "state": "starting", "detail": "reading the weights"}],
        }
        state["now"] = EngineHealth(state="ready", model="tiny")
        assert (await it.get("/health/ready"))[:2] == (200, {"status": "ready", "not_ready": []})
        it.server.app.state.running.stopping = True
        assert (await it.get("/health/ready"))[0] == 503


async def test_metrics(tmp_path: Path) -> None:
    async with site(tmp_path) as it:
        watch(
            it,
            tiny=lambda: EngineHealth(
                state="ready", model="tiny", running=3, waiting=2, memory_bytes=7, cache_used=0.5
            ),
            vectors=lambda: EngineHealth(state="restarting", model="vectors", restarts=1),
        )
        await it.chat()
        await it.chat(model="unknown-" * 3)
        await it.chat(temperature=-1)
        assert await it.services.traces.flush()
        status, text, headers = await it.get("/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain")
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }
    route = "/v1/chat/completions"
    counted = {key: value for key, value in found.items() if key[0] == "penstock_requests_total"}
    assert counted == {
        ("penstock_requests_total", route, "200", "tiny"): 1,
        ("penstock_requests_total", "", route, "404"): 1,
        ("penstock_requests_total", "", route, "400"): 1,
    }
    assert found["penstock_request_seconds_count", route, "tiny"] == 1
    assert found["penstock_first_chunk_seconds_count", route, "tiny"] == 1
    assert found["penstock_tokens_total", "output", "tiny"] == 2
    assert found["penstock_engine_running", "tiny"] == 3
    assert found["penstock_engine_waiting", "tiny"] == 2
    assert found["penstock_engine_memory_bytes", "tiny"] == 7
    assert found["penstock_engine_cache_used", "tiny"] == 0.5
    assert found["penstock_engine_ready", "vectors"] == 0
    assert found["penstock_engine_restarts", "vectors"] == 1
    assert ("penstock_engine_memory_bytes", "vectors") not in found
    assert found["penstock_traces_written_total",] == 2


async def test_the_openapi_file_describes_every_route_of_the_api(tmp_path: Path) -> None:
    async with site(tmp_path) as it:
        status, document, _ = await it.get("/api/v1/openapi.json")
        paths = [getattr(route, "path_format", "") for route in it.server.app.routes]
    assert status == 200
    assert document["openapi"] == "3.1.0"
    assert set(document["paths"]) == {path for path in paths if path.startswith(("/api/v1", "/v1", "/health"))}
    operations = [each for path in document["paths"].values() for each in path.values()]
    assert all(each["summary"] and "default" in each["responses"] for each in operations)
    assert len({each["operationId"] for each in operations}) == len(operations)
    names = {each["name"] for each in document["paths"]["/api/v1/traces"]["get"]["parameters"]}
    assert {"limit", "cursor", "status"} <= names
    identifier = document["paths"]["/api/v1/traces/{trace_id}"]["get"]["parameters"][0]
    assert (identifier["name"], identifier["in"], identifier["required"]) == ("trace_id", "path", True)
    chat = document["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]
    assert chat["schema"] == {"$ref": "#/components/schemas/ChatBody"}
    refs = set(find_refs(document))
    assert refs
    assert {ref.removeprefix("#/components/schemas/") for ref in refs} <= set(document["components"]["schemas"])
    assert msgspec.json.encode(document)


def find_refs(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [ref for each in value.values() for ref in find_refs(each)]
    return [ref for each in value for ref in find_refs(each)] if isinstance(value, list) else []
