"""The traces API on real sockets: what a request leaves behind is listed, filtered, paged and shown."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.gateway_site import Site, site
from support.tracing import record

from penstock.ids import new_trace_id


async def listed(it: Site, query: str = "") -> list[str]:
    assert await it.services.traces.flush()
    status, body, _ = await it.get(f"/api/v1/traces?{query}")
    assert status == 200, body
    assert body["object"] == "list"
    return [trace["question"] for trace in body["data"]]


async def test_a_request_can_be_looked_at_afterwards(tmp_path: Path) -> None:
    async with site(tmp_path) as it:
        _, _, headers = await it.chat("Where is the gate?", user="ada")
        assert await it.services.traces.flush()
        status, body, _ = await it.get(f"/api/v1/traces/{headers['x-penstock-trace-id']}")
    assert status == 200
    assert body["trace"]["question"] == "Where is the gate?"
    assert body["trace"]["answer"] == "Hello world"
    assert (body["trace"]["status"], body["trace"]["model"], body["trace"]["user"]) == ("ok", "tiny", "ada")
    assert (body["trace"]["output_tokens"], body["trace"]["cost_nanos"]) == (2, None)
    assert body["feedback"] == []
    root, *below = body["spans"]
    assert root["parent_id"] is None
    assert {span["parent_id"] for span in below} == {root["id"]}
    call = next(span for span in below if span["kind"] == "llm")
    assert call["attributes"]["gen_ai.input.messages"] == [
        {"role": "user", "parts": [{"type": "text", "content": "Where is the gate?"}]}
    ]
    assert 0 <= call["duration_us"] <= root["duration_us"]


async def test_a_refused_request_is_a_trace_too(tmp_path: Path) -> None:
    async with site(tmp_path) as it:
        await it.chat("Good", model="tiny")
        await it.chat("Bad", model="tinny")
        assert await listed(it, "status=error") == ["Bad"]
        _, body, _ = await it.get("/api/v1/traces?status=error")
    assert body["data"][0]["error_code"] == "model_not_found"
    assert "tinny" in body["data"][0]["error_message"]


async def test_filters_and_pages(tmp_path: Path) -> None:
    async with site(tmp_path) as it:
        traces = it.services.traces
        for number in range(5):
            record(traces, f"gate {number}", user="ada" if number % 2 else "bob", model=f"m{number}")
        record(traces, "not mine", project_id="other")
        now = datetime.now(UTC)
        assert await listed(it) == ["gate 4", "gate 3", "gate 2", "gate 1", "gate 0"]
        assert await listed(it, "user=ada") == ["gate 3", "gate 1"]
        assert await listed(it, "q=ATE%202&model=m2") == ["gate 2"]
        assert await listed(it, f"until={(now - timedelta(hours=1)).strftime('%Y-%m-%dT%H:%M:%SZ')}") == []
        assert len(await listed(it, f"since={(now - timedelta(hours=1)).strftime('%Y-%m-%dT%H:%M:%SZ')}")) == 5
        assert await listed(it, "min_duration_ms=60000") == []
        assert await listed(it, "feedback=none&answered=false") == []
        pages, query = [], "limit=2&count=true"
        while query:
            _, body, _ = await it.get(f"/api/v1/traces?{query}")
            assert body["count"] == 5
            pages.append([trace["question"] for trace in body["data"]])
            cursor = body["next_cursor"]
            query = f"limit=2&count=true&cursor={cursor}" if cursor else ""
    assert pages == [["gate 4", "gate 3"], ["gate 2", "gate 1"], ["gate 0"]]


@pytest.mark.parametrize(
    ("query", "param", "message"),
    [
        ("status=broken", "status", "'status' is not valid: invalid enum value 'broken'"),
        ("stauts=error", "stauts", "'stauts' is not a filter of traces. Did you mean 'status'?"),
        ("verbose=1", "verbose", "'verbose' is not a filter of traces. Use one of q, status"),
        ("limit=0", "limit", "'limit' must be an integer >= 1"),
        ("limit=501", "limit", "'limit' must be an integer <= 500"),
        ("limit=many", "limit", "'limit' must be an integer, not a string"),
        ("answered=perhaps", "answered", "'answered' must be true or false"),
        ("since=yesterday", "since", "'since' is not valid: invalid RFC3339 encoded datetime"),
        ("since=2026-01-31T09:00:00", "since", "'since'"),
        ("min_duration_ms=-1", "min_duration_ms", "'min_duration_ms' must be a number >= 0"),
        ("cursor=zzz", "cursor", "cursor 'zzz' is not one. Use next_cursor of the page before."),
        ("q=", "q", "'q'"),
    ],
)
async def test_a_bad_filter_is_named(tmp_path: Path, query: str, param: str, message: str) -> None:
    async with site(tmp_path) as it:
        status, body, _ = await it.get(f"/api/v1/traces?{query}")
    assert (status, body["error"]["param"], body["error"]["code"]) == (400, param, "invalid_request")
    assert message in body["error"]["message"]


async def test_a_trace_that_is_not_there_or_not_ours(tmp_path: Path) -> None:
    async with site(tmp_path) as it:
        theirs = record(it.services.traces, project_id="other")
        assert await it.services.traces.flush()
        for trace_id in (new_trace_id(), theirs, "nonsense"):
            status, body, _ = await it.get(f"/api/v1/traces/{trace_id}")
            assert (status, body["error"]["code"], body["error"]["param"]) == (404, "not_found", "trace_id")
            assert trace_id in body["error"]["message"]


async def test_dropped_traces_are_counted_where_one_looks(tmp_path: Path) -> None:
    async with site(tmp_path) as it:
        await it.chat()
        assert await it.services.traces.flush()
        _, metrics, _ = await it.get("/metrics")
    assert b"penstock_traces_written_total 1.0" in metrics
    assert b"penstock_traces_dropped_total 0.0" in metrics


async def test_the_api_describes_itself(tmp_path: Path) -> None:
    async with site(tmp_path) as it:
        _, body, _ = await it.get("/api/v1/openapi.json")
    listing = body["paths"]["/api/v1/traces"]["get"]
    assert {each["name"] for each in listing["parameters"]} >= {"status", "answered", "cursor", "since"}
    spans = body["components"]["schemas"]["SpanRecord"]["properties"]
    assert spans["kind"]["enum"]
    assert set(body["components"]["schemas"]["FeedbackBody"]["required"]) == {"trace_id", "score"}
