"""How answers end: delivered, refused, cut off by the client, the deadline or the server's stop."""

import asyncio
import itertools
import json
from pathlib import Path

import pytest
from support.gateway_site import Site, model, remote_model, site

from penstock.errors import EngineStopped
from penstock.exchange import Chunk, Exchange
from penstock.testing import FakeProvider, ProviderServer, Stream

CHAT = "/v1/chat/completions"
HI = [{"role": "user", "content": "Hi"}]
STREAM = {"model": "tiny", "messages": HI, "stream": True}


def held(*before: str) -> tuple[FakeProvider, asyncio.Event]:
    """A provider that says something, waits for the event, and says the rest."""
    go_on = asyncio.Event()
    return FakeProvider(*before, go_on, "the rest"), go_on


async def test_a_client_that_leaves_cancels_the_work_while_nothing_comes(tmp_path: Path) -> None:
    provider, _ = held()
    async with site(tmp_path, model(provider)) as it:
        for stream in (True, False):
            body = json.dumps(STREAM | {"stream": stream}).encode()
            _, writer = await asyncio.open_connection("127.0.0.1", it.server.port)
            writer.write(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
                b"content-length: %d\r\n\r\n%b" % (len(body), body)
            )
            await provider.until(lambda it: it.running == 1)
            writer.close()
            await provider.until(lambda it: it.running == 0)
        assert provider.left == 2
        trace = (await it.last_trace()).trace
        _, text, _ = await it.get("/metrics")
    assert (trace.status, trace.error_code) == ("cancelled", "cancelled")
    assert b'penstock_requests_total{model="tiny",route="/v1/chat/completions",status="499"} 2.0' in text
    assert b"penstock_requests_in_flight 0.0" in text


async def test_what_was_delivered_before_the_client_left_is_recorded(tmp_path: Path) -> None:
    provider, _ = held("First ", "words ")
    async with site(tmp_path, model(provider)) as it:
        async with it.session.post(it.url + CHAT, json=STREAM) as response:
            while b"words" not in await response.content.readuntil(b"\n\n"):
                pass
            response.close()
        await provider.until(lambda it: it.left == 1)
        trace = await it.last_trace()
    assert trace.trace.status == "cancelled"
    assert trace.trace.answer == "First words"
    assert trace.trace.first_chunk_us is not None
    assert trace.spans[-1].kind == "llm"
    assert trace.spans[-1].values()["output.value"] == "First words "


async def test_a_client_that_leaves_cancels_the_upstream_call(tmp_path: Path) -> None:
    async with ProviderServer() as upstream:
        upstream.answers.append(Stream(events=[b'{"choices":[]}', asyncio.Event()]))
        async with site(tmp_path, remote_model(upstream, "tiny")) as it:
            async with it.session.post(it.url + CHAT, json=STREAM) as response:
                await response.content.readuntil(b"\n\n")
                response.close()
            await upstream.until(lambda it: it.left == 1)


async def test_an_error_in_a_stream_is_its_last_event(tmp_path: Path) -> None:
    provider = FakeProvider("Some ", EngineStopped("The engine stopped.", hint="Ask again."))
    async with site(tmp_path, model(provider)) as it:
        events = await it.events(CHAT, STREAM)
        trace = (await it.last_trace()).trace
    assert json.loads(events[-1]) == {
        "error": {
            "message": "The engine stopped. Ask again.",
            "type": "server_error",
            "param": None,
            "code": "engine_stopped",
        }
    }
    assert b"Some " in events[-2]
    assert (trace.status, trace.error_code, trace.answer) == ("error", "engine_stopped", "Some")


async def test_a_request_has_a_deadline(tmp_path: Path) -> None:
    provider, _ = held()
    async with site(tmp_path, model(provider), request_seconds=0.05) as it:
        status, answer, _ = await it.chat()
        trace = (await it.last_trace()).trace
    assert (status, answer["error"]["code"]) == (504, "deadline_exceeded")
    assert "request_seconds" in answer["error"]["message"]
    assert (trace.status, trace.error_code) == ("error", "deadline_exceeded")
    assert provider.left == 1


async def test_more_requests_than_admitted_are_told_to_come_back(tmp_path: Path) -> None:
    """500 at once against a bound of 100: exactly 100 are answered, and afterwards there is room again."""
    provider, go_on = held()
    async with site(tmp_path, model(provider), max_in_flight=100) as it:
        asked = [asyncio.ensure_future(it.chat()) for _ in range(500)]
        for refusal in itertools.islice(asyncio.as_completed(asked), 400):
            status, answer, headers = await refusal
            assert (status, answer["error"]["code"], headers["retry-after"]) == (429, "overloaded", "1")
            assert "max_in_flight" in answer["error"]["message"]
        await provider.until(lambda it: it.running == 100)
        go_on.set()
        outcomes = [status for status, _, _ in await asyncio.gather(*asked)]
        assert (outcomes.count(200), outcomes.count(429)) == (100, 400)
        assert len(provider.exchanges) == 100
        assert (await it.chat())[0] == 200
        _, text, _ = await it.get("/metrics")
    assert b"penstock_requests_in_flight 0.0" in text


async def refused(it: Site) -> None:
    """Returns when the server takes no new connections."""
    with pytest.raises(ConnectionError):
        while True:
            _, writer = await asyncio.open_connection("127.0.0.1", it.server.port)
            writer.close()


async def test_a_stop_lets_streams_finish(tmp_path: Path) -> None:
    provider, go_on = held("Some ")
    async with site(tmp_path, model(provider)) as it:
        streams = [asyncio.ensure_future(it.events(CHAT, STREAM)) for _ in range(20)]
        await provider.until(lambda it: it.running == 20)
        stopping = asyncio.ensure_future(it.server.stop())
        await refused(it)
        go_on.set()
        answers = await asyncio.gather(*streams)
        await stopping
    for events in answers:
        assert events[-1] == b"[DONE]"
        assert b"the rest" in b"".join(events)


async def test_a_stop_ends_what_does_not_finish_with_an_error_event(tmp_path: Path) -> None:
    provider, _ = held("Some ")
    silent, _ = held()
    async with site(tmp_path, model(provider), model(silent, "silent"), drain=0.1) as it:
        stream = asyncio.ensure_future(it.events(CHAT, STREAM))
        whole = asyncio.ensure_future(it.chat(model="silent"))
        await provider.until(lambda it: it.running == 1)
        await silent.until(lambda it: it.running == 1)
        await it.server.stop()
        events = await stream
        status, answer, _ = await whole
        trace = (await it.last_trace()).trace
    assert (
        json.loads(events[-1])["error"]["message"] == "The server is stopping. Send the request again in a moment."
    )
    assert (status, answer["error"]["code"]) == (503, "unavailable")
    assert (trace.status, trace.error_code) == ("error", "unavailable")
    assert (provider.left, silent.left) == (1, 1)


async def test_events_are_sent_one_by_one(tmp_path: Path) -> None:
    """Each piece can be read before the next one exists."""
    steps = [asyncio.Event() for _ in range(5)]
    script = ["first ", *(step for event in steps for step in (event, "word "))]
    async with (
        site(tmp_path, model(FakeProvider(*script))) as it,
        it.session.post(it.url + CHAT, json=STREAM) as response,
    ):
        assert b'"role":"assistant"' in await response.content.readuntil(b"\n\n")
        assert b"first " in await response.content.readuntil(b"\n\n")
        for step in steps:
            step.set()
            assert b"word " in await response.content.readuntil(b"\n\n")


async def test_a_provider_that_says_nothing_is_an_error(tmp_path: Path) -> None:
    def nothing(exchange: Exchange) -> list[Chunk]:
        return [Chunk(finish_reason="stop")]

    class Mute(FakeProvider):
        async def answer(self, exchange: Exchange):  # type: ignore[no-untyped-def, override]
            for _ in ():
                yield Chunk()

    async with site(tmp_path, model(Mute()), model(FakeProvider(script=nothing), "empty")) as it:
        status, answer, _ = await it.chat(stream=True)
        _, empty, _ = await it.chat(model="empty")
    assert (status, answer["error"]["message"]) == (500, "The model gave no answer at all. Try again.")
    assert empty["choices"][0]["message"]["content"] == ""
