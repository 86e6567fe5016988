"""Routes through the whole server, over real connections to providers that misbehave."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from support.gateway_site import Site
from support.served_routes import CHAT, HI, always, at, model, served

from penstock.gateway.routing.backend import Backend
from penstock.gateway.routing.route import Route
from penstock.testing import Bytes, Cut, ProviderServer, Reply, Stream

PIECE = b'{"choices":[{"index":0,"delta":{"content":"Hello there"}}]}'
OPENING = b'{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}'


def targets(it: Site, name: str) -> tuple[Backend, ...]:
    provider = it.services.registry.get(name).provider
    assert isinstance(provider, Route)
    return provider.backends


def served_by(headers: Any) -> str | None:
    found: str | None = headers.get("x-penstock-served-by")
    return found


@pytest.mark.parametrize(
    "kind",
    ["rate_limit", "overloaded", "server_error", "auth", "cut", "bad_json", "context_length", "content_filter"],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_another_model_answers_when_this_one_fails(tmp_path: Path, kind: str, stream: bool) -> None:
    """Except where the kind says that it would be of no use, unless the model says otherwise."""
    async with ProviderServer(faults=always(kind)) as bad, ProviderServer() as good:
        models = {
            "main": model(**at(bad), fallback=["backup"], longer="long", retries=0),
            "all": model(**at(bad), fallback=["backup"], retries=0, fallback_on=["content_filter", "bad_request"]),
            "backup": model(**at(good, "corp/backup")),
            "long": model(**at(good, "corp/long")),
        }
        async with served(tmp_path, **models) as it:
            status, answer, _ = await it.chat("Say three words", model="main", stream=stream)
            if kind == "content_filter":
                assert status == 400
                status, answer, _ = await it.chat("Say three words", model="all", stream=stream)
            if kind == "bad_json" and stream:
                return  # the stream had begun; `test_an_answer_that_breaks…` is about those
            assert status == 200, answer
            asked = good.received[-1].json["model"]
            assert asked == ("long" if kind == "context_length" else "backup")


async def test_a_provider_that_is_gone(tmp_path: Path) -> None:
    async with ProviderServer() as gone, ProviderServer() as good:
        await gone.refuse()
        route = model(targets=[at(gone, weight=1000), at(good)])
        async with served(tmp_path, main=route) as it:
            for _ in range(12):
                status, _, headers = await it.chat(model="main")
                assert status == 200
                assert served_by(headers) in (None, f"corp/large@{good.url.removeprefix('http://')}")
            first, second = targets(it, "main")
            assert first.health.ejected and not second.health.ejected
            assert first.health.attempts == 5
            await gone.listen()
            first.health.ejected_until = 0.001  # its time is over
            status, _, _ = await it.chat(model="main")
            assert status == 200
            assert not first.health.ejected


async def test_retry_after_is_waited_for(tmp_path: Path) -> None:
    async with ProviderServer() as upstream, served(tmp_path, main=model(**at(upstream))) as it:
        waits: list[float] = []

        async def sleep(seconds: float) -> None:
            waits.append(seconds)

        route = it.services.registry.get("main").provider
        assert isinstance(route, Route)
        route.process.sleep = sleep
        upstream.answers.append(
            Reply(status=429, body=b'{"error":{"message":"slow"}}', headers={"retry-after": "2"})
        )
        status, _, _ = await it.chat(model="main")
        assert status == 200
        assert 2.0 <= waits[0] <= 2.25
        upstream.answers.append(
            Reply(status=429, body=b'{"error":{"message":"slow"}}', headers={"retry-after": "90"})
        )
        status, answer, headers = await it.chat(model="main")
        assert (status, answer["error"]["message"], headers["retry-after"]) == (429, "slow", "90")
        assert len(waits) == 1, "nobody waits for a minute and a half"


async def test_an_answer_that_breaks_is_neither_repeated_nor_spliced(tmp_path: Path) -> None:
    body = {"model": "main", "messages": HI, "stream": True}
    async with ProviderServer() as upstream, ProviderServer() as other:
        route = model(**at(upstream), fallback=["backup"])
        async with served(tmp_path, main=route, backup=model(**at(other, "corp/backup"))) as it:
            upstream.answers.append(Stream(events=[OPENING, PIECE, Cut()]))
            events = await it.events(CHAT, body)
            trace = await it.last_trace()
            assert events[:2] == [OPENING, PIECE]
            assert json.loads(events[-1])["error"]["code"] == "upstream_failed"
            assert b"[DONE]" not in events
            assert other.received == []
            assert (trace.trace.status, trace.trace.output_tokens, trace.trace.input_tokens) == ("error", 3, 4)
            attempt = next(span for span in trace.spans if span.name == "attempt corp/large")
            assert attempt.values()["penstock.error.kind"] == "broken_stream"
            assert attempt.duration_us > 0
            assert any(span.values().get("penstock.usage.estimated") for span in trace.spans)

            upstream.answers.append(Stream(events=[OPENING, Cut()]))
            upstream.answers.append(Stream(events=[OPENING, PIECE, Bytes(b"data: [DONE]\n\n")], done=False))
            events = await it.events(CHAT, body)
            assert events.count(OPENING) == 1, "nothing had been said, so it was asked again"
            assert PIECE in events


@pytest.mark.parametrize(("kind", "limit"), [("stall", "first_token"), ("stall_in_stream", "between_tokens")])
async def test_silence_has_a_limit(tmp_path: Path, kind: str, limit: str) -> None:
    async with ProviderServer(faults=always(kind)) as upstream, ProviderServer() as other:
        fields: dict[str, Any] = {f"{limit}_seconds": 0.05}
        route = model(**at(upstream), fallback=["backup"], retries=0, **fields)
        async with served(tmp_path, main=route, backup=model(**at(other, "corp/backup"))) as it:
            events = await it.events(CHAT, {"model": "main", "messages": HI, "stream": True})
            if kind == "stall":
                assert events[-1] == b"[DONE]"
                assert len(other.received) == 1
            else:
                assert "sent nothing for 0.05 s" in json.loads(events[-1])["error"]["message"]
                assert other.received == []
            await upstream.until(lambda it: it.left == 1)
            health = targets(it, "main")[0].health
            assert health.failures == {"timeout": 1}


async def test_a_request_has_a_deadline_over_all_attempts(tmp_path: Path) -> None:
    async with (
        ProviderServer(faults=always("stall")) as upstream,
        served(tmp_path, main=model(**at(upstream), total_seconds=0.1, retries=3)) as it,
    ):
        status, answer, _ = await it.chat(model="main")
        assert (status, answer["error"]["code"]) == (504, "deadline_exceeded")
        assert len(upstream.received) == 1


async def test_a_target_answers_no_more_at_once_than_it_may(tmp_path: Path) -> None:
    going = asyncio.Event()

    def slowly(received: Any) -> Reply:
        return Reply(
            body=b'{"choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}]}', after=going
        )

    async with ProviderServer(slowly) as small, ProviderServer() as large:
        route = model(targets=[at(small, weight=1000, max_in_flight=2), at(large)])
        async with served(tmp_path, main=route, only=model(**at(small, "corp/only"), max_in_flight=1)) as it:
            held = [asyncio.ensure_future(it.chat(model="main")) for _ in range(2)]
            held.append(asyncio.ensure_future(it.chat(model="only")))
            await small.until(lambda server: len(server.received) == 3)
            for _ in range(5):
                assert (await it.chat(model="main"))[0] == 200
            assert len(large.received) == 5
            status, answer, headers = await it.chat(model="only")
            assert (status, answer["error"]["code"], headers["retry-after"]) == (429, "overloaded", "1")
            going.set()
            assert [(await each)[0] for each in held] == [200] * 3


async def test_the_first_token_of_two_wins(tmp_path: Path) -> None:
    never = asyncio.Event()

    def stalling(received: Any) -> Reply:
        return Reply(body=b"{}", after=never)

    async with ProviderServer(stalling) as slow, ProviderServer() as quick:
        route = model(targets=[at(slow, weight=1e6), at(quick)], hedge_after=0.02)
        async with served(tmp_path, main=route) as it:
            status, _, _ = await it.chat("Say three words", model="main")
            assert status == 200
            await slow.until(lambda server: server.left == 1)
            trace = await it.last_trace()
            assert any(span.values().get("penstock.reason") == "hedge" for span in trace.spans)
            assert [target.health.in_flight for target in targets(it, "main")] == [0, 0]


async def test_when_everything_fails_the_load_above_stays_within_a_tenth(tmp_path: Path) -> None:
    async with (
        ProviderServer(faults=always("server_error")) as one,
        ProviderServer(faults=always("overloaded")) as two,
    ):
        route = model(targets=[at(one), at(two)], fallback=["corp/third"], retries=3)
        third = model(**at(two, "corp/third"))
        async with served(tmp_path, main=route, third=third) as it:
            for _ in range(20):
                await asyncio.gather(*(it.chat(model="main") for _ in range(10)))
            assert len(one.received) + len(two.received) <= 1.1 * 200


async def test_an_easy_question_goes_to_the_small_model(tmp_path: Path) -> None:
    async with ProviderServer() as upstream:
        smart = model(**at(upstream, "corp/smart"), difficulty={"easy": "small"})
        async with served(tmp_path, smart=smart, small=model(**at(upstream, "corp/small"))) as it:
            for text in ("Where are you?", "Prove that the equation x = 2 has a solution.", "def f(x): return x"):
                await it.chat(text, model="smart")
            assert [each.json["model"] for each in upstream.received] == ["small", "smart", "smart"]
            _, state, _ = await it.get("/api/v1/models")
            (told,) = [each["difficulty"] for each in state["data"] if each["name"] == "smart"]
            assert (told["easy_model"], told["easy"], told["hard"], round(told["share"], 2)) == (
                "small",
                1,
                2,
                0.33,
            )
            trace = await it.last_trace()
            assert any(span.values().get("penstock.difficulty") == "hard" for span in trace.spans)
