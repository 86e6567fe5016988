"""Feedback on an answer, over real sockets."""

from pathlib import Path
from typing import Any

import pytest
from support.gateway_site import site
from support.tracing import record

ID = "0af7651916cd43dd8448eb211c80319c"


async def test_a_thumb_at_once_after_the_answer(tmp_path: Path) -> None:
    async with site(tmp_path) as it:
        _, _, headers = await it.chat("Where is the gate?")
        trace_id = headers["x-penstock-trace-id"]
        status, body, _ = await it.post("/api/v1/feedback", {"trace_id": trace_id, "score": "up"})
        assert status == 200, body
        assert (body["trace_id"], body["score"], body["name"]) == (trace_id, 1.0, "thumbs")
        assert body["created_us"] > 0
        again = {"trace_id": trace_id, "score": "down", "comment": "It is below."}
        await it.post("/api/v1/feedback", again)
        await it.post("/api/v1/feedback", {"trace_id": trace_id, "score": 0.5, "name": "tone", "user": "ada"})
        _, detail, _ = await it.get(f"/api/v1/traces/{trace_id}")
        _, judged, _ = await it.get("/api/v1/traces?feedback=negative")
    assert [(each["name"], each["score"], each["comment"]) for each in detail["feedback"]] == [
        ("thumbs", -1.0, "It is below."),
        ("tone", 0.5, None),
    ]
    assert detail["trace"]["score"] == -0.25
    assert [trace["id"] for trace in judged["data"]] == [trace_id]


async def test_feedback_on_nothing_or_on_anothers_answer(tmp_path: Path) -> None:
    async with site(tmp_path) as it:
        theirs = record(it.services.traces, project_id="other")
        for trace_id in (ID, theirs):
            status, body, _ = await it.post("/api/v1/feedback", {"trace_id": trace_id, "score": 1})
            assert (status, body["error"]["param"]) == (404, "trace_id")
            assert f"There is no trace '{trace_id}'" in body["error"]["message"]


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        ({"score": 1}, "trace_id", "'trace_id' is missing"),
        ({"trace_id": ID}, "score", "'score' is missing"),
        ({"trace_id": ID, "score": 2}, "score", "'score' must be a number <= 1"),
        ({"trace_id": ID, "score": "sideways"}, "score", "'sideways'"),
        ({"trace_id": ID, "score": None}, "score", "'score' must be"),
        ({"trace_id": ID, "score": True}, "score", "'score' must be"),
        ({"trace_id": "", "score": 1}, "trace_id", "'trace_id'"),
        ({"trace_id": ID, "score": 1, "comment": 5}, "comment", "'comment' must be a string"),
        ({"trace_id": ID, "score": 1, "comment": "x" * 4001}, "comment", "'comment'"),
        ({"trace_id": ID, "score": 1, "note": "x"}, None, "note"),
        ([], None, "must be an object, not an array"),
        (b"{", None, "it ends too early"),
    ],
)
async def test_bad_feedback_is_named(tmp_path: Path, body: Any, param: str | None, message: str) -> None:
    async with site(tmp_path) as it:
        status, answer, _ = await it.post("/api/v1/feedback", body)
    assert (status, answer["error"]["param"]) == (400, param)
    assert message in answer["error"]["message"]
