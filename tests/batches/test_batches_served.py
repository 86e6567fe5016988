"""Batches over loopback, by the official client."""

import asyncio
from pathlib import Path
from typing import Any

import openai
import pytest
from msgspec.structs import replace
from openai import AsyncOpenAI
from support.batching import begin, content, counts, ended, line, lines, send
from support.gateway_site import embedder, remote_model, site

from penstock.access.limits import Limits
from penstock.access.limits.local import LocalStore
from penstock.access.store import Access
from penstock.access.values import NewKey
from penstock.audit.record import COMMAND_LINE
from penstock.batches import run
from penstock.config.batches import BatchSettings
from penstock.config.limits import LimitSettings
from penstock.exchange import LOCAL_PROJECT, Usage
from penstock.testing import ProviderServer, Reply, simulator
from penstock.testing.answers import Answer, Received
from penstock.traces.span import TraceFilter

BATCHES = BatchSettings()


@pytest.mark.drives("POST /v1/batches", "GET /v1/batches/{batch_id}")
async def test_a_batch_from_its_file_to_its_answers(tmp_path: Path) -> None:
    async with ProviderServer() as upstream, site(tmp_path, remote_model(upstream), batches=BATCHES) as it:
        client = it.client()
        batch = await begin(client, lines(20), metadata={"night": "1"})
        assert (batch.status, batch.metadata, batch.object) == ("validating", {"night": "1"}, "batch")
        batch = await ended(client, batch.id)
        assert (batch.status, counts(batch), batch.error_file_id) == ("completed", (20, 20, 0), None), batch
        assert (
            batch.created_at <= (batch.in_progress_at or 0) <= (batch.completed_at or 0) <= (batch.expires_at or 0)
        )
        assert batch.expires_at == batch.created_at + 86_400
        answers = await content(client, batch.output_file_id)
        assert [answer["custom_id"] for answer in answers] == [f"line-{number}" for number in range(20)]
        for number, answer in enumerate(answers):
            assert (answer["error"], answer["response"]["status_code"]) == (None, 200)
            said = answer["response"]["body"]["choices"][0]["message"]["content"]
            assert said == f"number {number}"
        assert len({answer["id"] for answer in answers}) == len(upstream.received) == 20
        output = await client.files.retrieve(batch.output_file_id or "")
        assert (output.purpose, output.filename) == ("batch_output", f"{batch.id}_output.jsonl")
        assert output.expires_at is not None
        assert await it.services.traces.flush()
        page = await it.services.traces.list(TraceFilter(project_id=LOCAL_PROJECT), 50)
        assert [trace.session for trace in page.traces] == [batch.id] * 20


async def test_embeddings_completions_and_responses(tmp_path: Path) -> None:
    def asking(endpoint: str, body: dict[str, Any]) -> dict[str, Any]:
        return {"custom_id": "a", "method": "POST", "url": endpoint, "body": body}

    async with (
        ProviderServer() as upstream,
        site(tmp_path, remote_model(upstream), embedder(), batches=BATCHES) as it,
    ):
        client = it.client()
        for endpoint, body, what in (
            ("/v1/embeddings", {"model": "vectors", "input": ["a", "b"]}, "data"),
            ("/v1/completions", {"model": "big", "prompt": "Once"}, "choices"),
            ("/v1/responses", {"model": "big", "input": "Hi"}, "output"),
        ):
            batch = await begin(client, [asking(endpoint, body)], endpoint=endpoint)
            batch = await ended(client, batch.id)
            (answer,) = await content(client, batch.output_file_id)
            assert answer["response"]["body"][what]


async def test_bad_lines_are_errors_of_their_own(tmp_path: Path) -> None:
    big = "x" * (30 << 10)
    requests: list[dict[str, Any] | str] = [
        line("good"),
        '{"custom_id": "cut", "method": "POS',
        "",
        line("good"),
        line("elsewhere", url="/v1/embeddings"),
        line("get", method="GET"),
        line("text", body="nothing"),
        {"method": "POST", "url": "/v1/chat/completions", "body": {}},
        line("stream", body={"model": "big", "messages": [], "stream": True}),
        line("unknown", model="bigger"),
        line("empty", body={"model": "big", "messages": []}),
        line("long", big),
        line("", "no id"),
    ]
    async with (
        ProviderServer() as upstream,
        site(tmp_path, remote_model(upstream), batches=BATCHES, max_body_mb=0.02) as it,
    ):
        client = it.client()
        batch = await ended(client, (await begin(client, requests)).id)
        assert (batch.status, counts(batch)) == ("completed", (12, 1, 11))
        (answer,) = await content(client, batch.output_file_id)
        assert answer["custom_id"] == "good"
        errors = await content(client, batch.error_file_id)
        told = [(each["custom_id"], (each["error"] or {}).get("code")) for each in errors]
        assert told == [
            (None, "invalid_json_line"),
            ("good", "invalid_custom_id"),
            ("elsewhere", "invalid_url"),
            ("get", "invalid_method"),
            (None, "invalid_body"),
            (None, "invalid_custom_id"),
            ("stream", "invalid_body"),
            ("unknown", None),
            ("empty", None),
            (None, "invalid_json_line"),
            ("", "invalid_custom_id"),
        ]
        assert errors[0]["error"]["line"] == 2
        assert "ends too early" in errors[0]["error"]["message"]
        assert "stands in an earlier line" in errors[1]["error"]["message"]
        assert "the batch is for '/v1/chat/completions'" in errors[2]["error"]["message"]
        unknown, empty = errors[7]["response"], errors[8]["response"]
        assert (unknown["status_code"], unknown["body"]["error"]["code"]) == (404, "model_not_found")
        assert (empty["status_code"], empty["body"]["error"]["param"]) == (400, "messages")
        assert len(upstream.received) == 1


@pytest.mark.parametrize(
    ("requests", "code", "message"),
    [
        ([""], "empty_file", "no lines"),
        (['{"custom_id"', line("a", method="PUT")], "invalid_json_line", "ends too early"),
        (lines(4), "too_many_requests_in_batch", "more than 3 lines"),
    ],
)
async def test_a_file_without_a_good_line_fails_the_batch(
    tmp_path: Path, requests: list[dict[str, Any] | str], code: str, message: str
) -> None:
    settings = BatchSettings(max_lines=3)
    async with ProviderServer() as upstream, site(tmp_path, remote_model(upstream), batches=settings) as it:
        client = it.client()
        batch = await ended(client, (await begin(client, requests)).id)
        assert (batch.status, batch.output_file_id, batch.error_file_id) == ("failed", None, None)
        assert batch.errors is not None
        assert batch.errors.data
        assert batch.errors.data[0].code == code
        assert message in (batch.errors.data[0].message or "")
        assert not upstream.received


async def test_what_is_asked_wrongly_is_refused_at_once(tmp_path: Path) -> None:
    async with ProviderServer() as upstream, site(tmp_path, remote_model(upstream), batches=BATCHES) as it:
        client = it.client()
        file = await send(client, lines(1))
        notes = await send(client, lines(1), purpose="user_data")
        for fields, param, message in (
            ({"endpoint": "/v1/audio/speech"}, "endpoint", "cannot be for '/v1/audio/speech'"),
            ({"completion_window": "soon"}, "completion_window", "is not a time"),
            ({"completion_window": "31d"}, "completion_window", "up to 30 days"),
            ({"input_file_id": notes}, "input_file_id", "is for 'user_data'"),
            ({"metadata": {"k": "v" * 513}}, "metadata", "too large"),
        ):
            given: Any = {
                "endpoint": "/v1/chat/completions",
                "completion_window": "24h",
                "input_file_id": file,
            } | fields
            with pytest.raises(openai.BadRequestError, match=message) as caught:
                await client.batches.create(**given)
            assert caught.value.param == param
        with pytest.raises(openai.NotFoundError, match="no file 'file_x'"):
            await client.batches.create(
                input_file_id="file_x", endpoint="/v1/chat/completions", completion_window="24h"
            )
        with pytest.raises(openai.NotFoundError, match="no batch"):
            await client.batches.retrieve("batch_x")


@pytest.mark.drives("POST /v1/batches/{batch_id}/cancel")
async def test_a_batch_that_is_cancelled_keeps_what_was_answered(tmp_path: Path) -> None:
    held = asyncio.Event()

    def behave(received: Received) -> Answer:
        answer = simulator.simulate(received)
        assert isinstance(answer, Reply)
        text = received.json["messages"][0]["content"]
        return answer if text in ("number 0", "number 1") else Reply(body=answer.body, after=held)

    async with (
        ProviderServer(behave) as upstream,
        site(tmp_path, remote_model(upstream), batches=BatchSettings(concurrency=2)) as it,
    ):
        client = it.client()
        batch = await begin(client, lines(30))
        await upstream.until(lambda server: len(server.received) == 4)
        with pytest.raises(openai.ConflictError, match="A batch reads file"):
            await client.files.delete(batch.input_file_id)
        assert (await client.batches.cancel(batch.id)).status == "cancelling"
        held.set()
        batch = await ended(client, batch.id)
        assert (batch.status, counts(batch)) == ("cancelled", (30, 4, 26))
        answers = await content(client, batch.output_file_id)
        assert [each["custom_id"] for each in answers] == [f"line-{number}" for number in range(4)]
        errors = await content(client, batch.error_file_id)
        assert [each["error"]["code"] for each in errors] == ["batch_cancelled"] * 26
        assert errors[0]["custom_id"] == "line-4"
        assert len(upstream.received) == 4
        assert (await client.batches.cancel(batch.id)).status == "cancelled"
        await client.files.delete(batch.input_file_id)


async def test_callers_go_ahead_of_a_batch(tmp_path: Path) -> None:
    held = asyncio.Event()

    def behave(received: Received) -> Answer:
        answer = simulator.simulate(received)
        assert isinstance(answer, Reply)
        return Reply(body=answer.body, after=held)

    async with (
        ProviderServer(behave) as upstream,
        site(tmp_path, remote_model(upstream), batches=BatchSettings(concurrency=8), max_in_flight=4) as it,
    ):
        client = it.client()
        batch = await begin(client, lines(12))
        await upstream.until(lambda server: len(server.received) == 3)
        calling = asyncio.create_task(it.chat("A person waits", "big"))
        await upstream.until(lambda server: len(server.received) == 4)
        assert upstream.received[3].json["messages"][0]["content"] == "A person waits"
        assert (await it.chat("One too many", "big"))[0] == 429
        assert len(upstream.received) == 4, "the lines that wait were not asked meanwhile"
        held.set()
        assert (await calling)[0] == 200
        assert counts(await ended(client, batch.id)) == (12, 12, 0)


async def test_limits_on_requests_are_waited_for(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "limits.counts")
    limits = Limits(store)
    limits.use([LimitSettings(requests=5, window="1s", per="all")])
    async with (
        ProviderServer() as upstream,
        site(tmp_path, remote_model(upstream), batches=BATCHES, limits=limits) as it,
    ):
        client = it.client()
        batch = await ended(client, (await begin(client, lines(12))).id)
        assert (batch.status, counts(batch)) == ("completed", (12, 12, 0))
        assert len(upstream.received) == 12
    await store.close()


class Cents:
    """A price: a millionth of a dollar for each token."""

    def cost_nanos(self, usage: Usage, now: float) -> int:
        return 1000 * (usage.prompt_tokens + usage.completion_tokens)

    def estimate_nanos(self, input_tokens: int, max_output: int) -> int:
        return 1000 * (input_tokens + max_output)


async def test_a_budget_that_is_used_up_fails_the_lines_after_it(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "limits.counts")
    limits = Limits(store)
    limits.use([LimitSettings(usd=0.000001, window="day", per="all")])
    async with (
        ProviderServer() as upstream,
        site(tmp_path, replace(remote_model(upstream), price=Cents()), batches=BATCHES, limits=limits) as it,
    ):
        client = it.client()
        batch = await ended(client, (await begin(client, lines(5))).id)
        assert (batch.status, counts(batch)) == ("completed", (5, 0, 5))
        for error in await content(client, batch.error_file_id):
            assert error["response"]["status_code"] == 429
            assert error["response"]["body"]["error"]["code"] == "insufficient_quota"
        assert not upstream.received
    await store.close()


async def test_a_provider_that_asks_for_patience_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "SHORTEST", 0.01)
    async with (
        ProviderServer() as upstream,
        site(tmp_path, remote_model(upstream), batches=BatchSettings(concurrency=1)) as it,
    ):
        upstream.answers += [
            Reply(status=429, body=b'{"error": {"message": "slow down"}}', headers={"retry-after-ms": "20"}),
            Reply(status=503, body=b'{"error": {"message": "overloaded", "code": "overloaded"}}'),
            Reply(status=400, body=b'{"error": {"message": "not this", "type": "invalid_request_error"}}'),
        ]
        client = it.client()
        batch = await ended(client, (await begin(client, lines(3))).id)
        assert (batch.status, counts(batch)) == ("completed", (3, 2, 1))
        (error,) = await content(client, batch.error_file_id)
        assert (error["custom_id"], error["response"]["status_code"]) == ("line-0", 400)
        assert error["response"]["body"] == {"error": {"message": "not this", "type": "invalid_request_error"}}
        assert len(upstream.received) == 5


async def test_a_key_that_is_revoked_ends_its_batches(tmp_path: Path) -> None:
    held = asyncio.Event()

    def behave(received: Received) -> Answer:
        answer = simulator.simulate(received)
        assert isinstance(answer, Reply)
        return Reply(body=answer.body, after=held)

    access = Access.open(tmp_path, tmp_path)
    made = await access.keys.create(COMMAND_LINE, NewKey(name="nightly", role="developer", project_id="local"))
    other = await access.keys.create(COMMAND_LINE, NewKey(name="daily", role="developer", project_id="local"))
    async with (
        ProviderServer(behave) as upstream,
        site(tmp_path, remote_model(upstream), batches=BatchSettings(concurrency=2), access=access) as it,
    ):
        client = AsyncOpenAI(base_url=f"{it.url}/v1", api_key=made.secret.reveal(), max_retries=0)
        batch = await begin(client, lines(10))
        await upstream.until(lambda server: len(server.received) == 2)
        await access.keys.revoke(COMMAND_LINE, made.key.id)
        held.set()
        with pytest.raises(openai.AuthenticationError, match="has been revoked"):
            await client.batches.retrieve(batch.id)
        await client.close()
        client = AsyncOpenAI(base_url=f"{it.url}/v1", api_key=other.secret.reveal(), max_retries=0)
        batch = await ended(client, batch.id)
        assert (batch.status, counts(batch)) == ("failed", (10, 2, 8))
        assert batch.errors is not None
        assert [each.code for each in batch.errors.data or ()] == ["invalid_api_key"]
        assert len(await content(client, batch.output_file_id)) == 2
        assert len(upstream.received) == 2
        await client.close()
    await access.close()


async def test_what_is_not_done_in_its_window_expires(tmp_path: Path) -> None:
    """The window is moved into the past where it is kept: the shortest that can be asked for is a minute."""
    held = asyncio.Event()

    def behave(received: Received) -> Answer:
        answer = simulator.simulate(received)
        assert isinstance(answer, Reply)
        return Reply(body=answer.body, after=held)

    async with (
        ProviderServer(behave) as upstream,
        site(tmp_path, remote_model(upstream), batches=BatchSettings(concurrency=2)) as it,
    ):
        client = it.client()
        batch = await begin(client, lines(10), completion_window="1m")
        await upstream.until(lambda server: len(server.received) == 2)
        expire(tmp_path)
        held.set()
        batch = await ended(client, batch.id)
        total, completed, failed = counts(batch)
        assert (batch.status, total) == ("expired", 10)
        assert batch.expired_at is not None
        assert completed == len(upstream.received) < 10
        errors = await content(client, batch.error_file_id)
        assert [each["error"]["code"] for each in errors] == ["batch_expired"] * failed


def expire(folder: Path) -> None:
    import sqlite3

    with sqlite3.connect(folder / "jobs.db") as database:
        database.execute("UPDATE batch SET expires_us = 1")
    database.close()


@pytest.mark.drives("GET /v1/batches")
async def test_batches_are_listed_newest_first(tmp_path: Path) -> None:
    async with ProviderServer() as upstream, site(tmp_path, remote_model(upstream), batches=BATCHES) as it:
        client = it.client()
        assert (await client.batches.list()).data == []
        made = [(await begin(client, lines(1))).id for _ in range(5)]
        assert [batch.id async for batch in client.batches.list(limit=2)] == made[::-1]
        for id in made:
            await ended(client, id)
