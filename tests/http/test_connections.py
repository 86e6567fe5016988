"""Requests to models on a connection: however their bytes come, they are answered; nobody is waited for long."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.gateway_site import Site, model, site
from support.keyed_site import keyed_site

from penstock.http.connection import DirectPost
from penstock.testing import FakeProvider

CHAT = "/v1/chat/completions"
JSON = "content-type: application/json\r\n"


def post(text: str = "Hi", head: str = JSON, path: str = CHAT, version: str = "1.1", **fields: Any) -> bytes:
    body = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": text}], **fields})
    return (
        f"POST {path} HTTP/{version}\r\nhost: 127.0.0.1\r\n{head}content-length: {len(body)}\r\n\r\n{body}".encode()
    )


class Talk:
    """One connection, written to and read as bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def head(self) -> tuple[int, dict[str, str]]:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:-2])
        assert headers["date"].endswith("GMT")
        return int(lines[0].split()[1]), headers

    async def answer(self) -> tuple[int, dict[str, str], Any]:
        status, headers = await self.head()
        if "content-length" in headers:
            return status, headers, json.loads(await self.reader.readexactly(int(headers["content-length"])))
        body = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        assert await self.reader.readexactly(2) == b"\r\n"
        return status, headers, body

    async def said(self) -> str:
        """The text of an answer that is whole and good."""
        status, _, body = await self.answer()
        assert status == 200, body
        text: str = body["choices"][0]["message"]["content"]
        return text


@asynccontextmanager
async def talk(it: Site) -> AsyncIterator[Talk]:
    reader, writer = await asyncio.open_connection("127.0.0.1", it.server.port)
    try:
        yield Talk(reader, writer)
    finally:
        writer.close()


def echo() -> FakeProvider:
    """A model that says what it is told."""
    return FakeProvider(script=lambda exchange: [str(exchange.messages[-1].content)])


async def test_a_request_in_single_bytes_and_one_in_large_pieces(tmp_path: Path) -> None:
    long = "words " * 100_000
    async with site(tmp_path, model(echo())) as it, talk(it) as client:
        for byte in post("bit by bit"):
            client.writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert await client.said() == "bit by bit"
        sent = post(long)
        for at in range(0, len(sent), 50_000):
            client.writer.write(sent[at : at + 50_000])
            await client.writer.drain()
        assert await client.said() == long
        (connection,) = [each for each in it.services.meter.connections if isinstance(each.cycle, DirectPost)]
        assert connection.server_state.total_requests == 2


async def test_requests_that_are_sent_at_once_are_answered_in_order(tmp_path: Path) -> None:
    async with site(tmp_path, model(echo())) as it, talk(it) as client:
        live = b"GET /health/live HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
        client.writer.write(post("one") + post("two") + live + post("three", stream=True) + post("four"))
        assert [await client.said(), await client.said()] == ["one", "two"]
        assert (await client.answer())[2] == {"status": "live"}
        assert b"three" in (await client.answer())[2]
        assert await client.said() == "four"
        client.writer.write(post("five"))
        assert await client.said() == "five"


async def test_other_requests_between_those_to_models(tmp_path: Path) -> None:
    async with site(tmp_path, model(echo())) as it, talk(it) as client:
        for text in ("one", "two"):
            client.writer.write(post(text))
            assert await client.said() == text
            client.writer.write(b"GET /health/live HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            assert (await client.answer())[2] == {"status": "live"}
            client.writer.write(f"HEAD {CHAT} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode())
            assert (await client.head())[0] == 405
            client.writer.write(post(text, head="content-type: text/plain\r\n"))
            assert (await client.answer())[0] == 415


@pytest.mark.parametrize("stream", [False, True])
async def test_every_way_to_send_a_body_is_answered_alike(tmp_path: Path, stream: bool) -> None:
    """What the connection does not take itself goes through the routes."""
    plain = post(stream=stream)
    body = plain.partition(b"\r\n\r\n")[2]
    head = f"POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1\r\n{JSON}".encode()
    async with site(tmp_path) as it, talk(it) as client:
        client.writer.write(plain)
        status, expected, first = await client.answer()
        client.writer.write(head + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        answers = [await client.answer()]
        client.writer.write(post(path=f"{CHAT}?api-version=1", stream=stream))
        answers.append(await client.answer())
        client.writer.write(post(path="/v1/chat%2Fcompletions", stream=stream))
        answers.append(await client.answer())
        client.writer.write(head + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(body))
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.writer.write(body)
        answers.append(await client.answer())
    for other_status, headers, other in answers:
        assert (other_status, headers.keys()) == (status, expected.keys())
        assert len(other) == len(first)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("version", "head"), [("1.1", "connection: close\r\n"), ("1.0", "connection: keep-alive\r\n")]
)
async def test_a_connection_for_one_request_is_closed(
    tmp_path: Path, version: str, head: str, stream: bool
) -> None:
    async with site(tmp_path) as it, talk(it) as client:
        client.writer.write(post(head=JSON + head, version=version, stream=stream))
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert await client.reader.read() == b""


async def test_an_idle_connection_is_closed_and_a_busy_one_is_not(tmp_path: Path) -> None:
    go_on = asyncio.Event()
    async with site(tmp_path, model(FakeProvider("a", go_on, "b"))) as it, talk(it) as busy, talk(it) as idle:
        idle.writer.write(b"GET /health/live HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        await idle.answer()
        for connection in it.services.meter.connections:
            connection.timeout_keep_alive = 0
        idle.writer.write(b"GET /health/live HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        await idle.answer()
        busy.writer.write(post())
        assert await idle.reader.read() == b""
        go_on.set()
        assert await busy.said() == "ab"
        assert await busy.reader.read() == b""


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_counted(tmp_path: Path) -> None:
    async with site(tmp_path) as it:
        async with talk(it) as client:
            client.writer.write(post()[:-10])
            await client.writer.drain()
        text = b""
        while f'penstock_requests_total{{model="",route="{CHAT}",status="499"}} 1.0'.encode() not in text:
            _, text, _ = await it.get("/metrics")


async def test_a_stop_does_not_wait_for_a_body_longer_than_for_an_answer(tmp_path: Path) -> None:
    async with site(tmp_path, drain=0.1) as it, talk(it) as client:
        client.writer.write(post()[:-10])
        assert (await it.chat())[0] == 200
        await it.server.stop()
        status, headers, body = await client.answer()
        assert (status, headers["connection"], body["error"]["code"]) == (503, "close", "unavailable")
        assert await client.reader.read() == b""


async def test_a_body_that_comes_while_the_server_stops_is_answered(tmp_path: Path) -> None:
    async with site(tmp_path) as it, talk(it) as client:
        client.writer.write(post()[:-10])
        assert (await it.chat())[0] == 200
        stopping = asyncio.ensure_future(it.server.stop())
        with pytest.raises(ConnectionError):
            while True:
                (await asyncio.open_connection("127.0.0.1", it.server.port))[1].close()
        client.writer.write(post()[-10:])
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (200, "close")
        await stopping


async def test_who_may_not_come_in_is_told_before_the_body(tmp_path: Path) -> None:
    async with keyed_site(tmp_path) as it:
        await it.make("first")
        reader, writer = await asyncio.open_connection("127.0.0.1", it.server.port)
        for key in (b"", b"authorization: Bearer pst_nobody\r\n"):
            writer.write(post().replace(JSON.encode(), JSON.encode() + key)[:-10])
            client = Talk(reader, writer)
            status, _, body = await client.answer()
            assert (status, body["error"]["type"]) == (401, "authentication_error")
            writer.write(post()[-10:])
        writer.close()
