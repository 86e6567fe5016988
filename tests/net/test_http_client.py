"""The HTTP client of the request path, against servers that say exactly what a test wants on the wire."""

from __future__ import annotations

import asyncio
import gzip
import math
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.net import BadAnswer, CannotConnect, ConnectionBroken, HttpClient, Origin, TimedOut

JSON = b"Content-Type: application/json\r\n"
Serve = Callable[["Wire"], Awaitable[None]]


class Wire:
    """One accepted connection: reads requests, writes bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.closed = asyncio.Event()

    async def request(self) -> tuple[bytes, bytes]:
        """The head and the body of the next request."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        )
        return head, await self.reader.readexactly(length)

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


class Server:
    """Runs `serve` for each connection; `connections` counts them."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self.connections = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self.url = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._serve(Wire(reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[Server]:
    server = Server(serve)
    listening = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()


@asynccontextmanager
async def client_of(server: Server, connect_seconds: float = 5.0) -> AsyncIterator[HttpClient]:
    client = HttpClient(Origin.of(server.url), connect_seconds=connect_seconds)
    try:
        yield client
    finally:
        await client.close()


async def ask(client: HttpClient, body: bytes = b"{}", seconds: float = 5.0) -> tuple[int, bytes]:
    until = time.monotonic() + seconds
    response = await client.send(b"POST", b"/v1/chat", JSON, body, until)
    try:
        return response.status, await response.body(1 << 20, until)
    finally:
        response.close()


def whole(body: bytes, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (more, len(body), body)


def always(answer: bytes) -> Serve:
    """Answers every request of a connection alike."""

    async def serve(wire: Wire) -> None:
        while True:
            await wire.request()
            await wire.say(answer)

    return serve


async def test_a_request_is_written_as_http_and_its_connection_used_again() -> None:
    heads: list[bytes] = []

    async def serve(wire: Wire) -> None:
        while True:
            head, body = await wire.request()
            heads.append(head)
            await wire.say(whole(b"got " + body))

    async with serving(serve) as server, client_of(server) as client:
        assert await ask(client, b"one") == (200, b"got one")
        assert await ask(client, b"two") == (200, b"got two")
        assert server.connections == 1
    first = heads[0].decode()
    assert first.startswith(f"POST /v1/chat HTTP/1.1\r\nHost: {server.url.removeprefix('http://')}\r\n")
    assert "Content-Type: application/json\r\nContent-Length: 3\r\n\r\n" in first


async def test_requests_at_once_have_connections_of_their_own() -> None:
    both = asyncio.Barrier(2)

    async def serve(wire: Wire) -> None:
        _, body = await wire.request()
        await both.wait()
        await wire.say(whole(body))

    async with serving(serve) as server, client_of(server) as client:
        assert await asyncio.gather(ask(client, b"a"), ask(client, b"b")) == [(200, b"a"), (200, b"b")]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nabcdefg",
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nabcdefg",
        whole(gzip.compress(b"abcdefg"), b"Content-Encoding: gzip\r\n"),
        whole(zlib.compress(b"abcdefg"), b"content-encoding: deflate\r\n"),
    ],
    ids=["chunked", "continue", "early hints", "gzip", "deflate"],
)
async def test_answers_of_every_framing(answer: bytes) -> None:
    async with serving(always(answer)) as server, client_of(server) as client:
        assert await ask(client) == (200, b"abcdefg")
        assert await ask(client) == (200, b"abcdefg")
        assert server.connections == 1


async def test_without_a_length_the_end_of_the_connection_is_the_end() -> None:
    async def serve(wire: Wire) -> None:
        await wire.request()
        await wire.say(b"HTTP/1.1 200 OK\r\n\r\nabc")
        await wire.say(b"def")

    async with serving(serve) as server, client_of(server) as client:
        assert await ask(client) == (200, b"abcdef")
        assert await ask(client) == (200, b"abcdef")
        assert server.connections == 2


@given(cuts=st.lists(st.integers(1, 400), max_size=12), body=st.binary(max_size=300))
@settings(max_examples=25, deadline=None)
def test_it_does_not_matter_how_the_bytes_arrive(cuts: list[int], body: bytes) -> None:
    """An answer is the same in whatever pieces it comes."""
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    answer = b"HTTP/1.1 201 Created\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n"

    async def serve(wire: Wire) -> None:
        await wire.request()
        rest = answer
        for cut in cuts:
            await wire.say(rest[:cut])
            rest = rest[cut:]
            await asyncio.sleep(0)
        await wire.say(rest)
        await wire.reader.read()

    async def run() -> None:
        async with serving(serve) as server, client_of(server) as client:
            assert await ask(client) == (201, body)

    asyncio.run(run())


async def test_a_connection_that_the_server_closed_is_replaced_without_a_word() -> None:
    gone = asyncio.Event()

    async def serve(wire: Wire) -> None:
        await wire.request()
        await wire.say(whole(b"x"))
        if server.connections == 1:
            wire.writer.transport.abort()
            gone.set()
        else:
            await wire.reader.read()

    async with serving(serve) as server, client_of(server) as client:
        assert await ask(client) == (200, b"x")
        await gone.wait()
        assert await ask(client) == (200, b"x")
        assert server.connections == 2


async def test_a_new_connection_that_is_closed_at_once_is_an_error() -> None:
    async def serve(wire: Wire) -> None:
        await wire.request()

    async with serving(serve) as server, client_of(server) as client:
        with pytest.raises(ConnectionBroken):
            await ask(client)
        assert server.connections == 1


async def test_connection_close_is_honoured() -> None:
    async with (
        serving(always(whole(b"x", b"Connection: close\r\n"))) as server,
        client_of(server) as client,
    ):
        await ask(client)
        await ask(client)
        assert server.connections == 2


async def test_more_than_was_asked_for_is_not_taken_for_the_next_answer() -> None:
    async with serving(always(whole(b"good") + whole(b"evil"))) as server, client_of(server) as client:
        assert await ask(client) == (200, b"good")
        assert await ask(client) == (200, b"good")
        assert server.connections == 2


@pytest.mark.parametrize("more", [b"HTTP/1.1 200 OK\r\nContent-Le", b"H", b"HTTP/1.1 200 OK\r\nX: 1\r\n"])
async def test_the_beginning_of_an_answer_that_nobody_asked_for_spoils_its_connection(more: bytes) -> None:
    async def serve(wire: Wire) -> None:
        await wire.request()
        await wire.say(whole(b"own") + more)
        await wire.request()
        await wire.say(whole(b"stolen"))

    async with serving(serve) as server, client_of(server) as client:
        assert [await ask(client) for _ in range(2)] == [(200, b"own")] * 2


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * (200 << 10), "headers"),
        (whole(b"not gzip", b"Content-Encoding: gzip\r\n"), "not HTTP"),
        (whole(b"x", b"Content-Encoding: br\r\n"), "'br'"),
        (
            whole(gzip.compress(b"0" * (80 << 20)), b"Content-Encoding: gzip\r\n"),
            "grows without end|more than 1 MiB",
        ),
        (whole(b"x" * (2 << 20)), "more than 1 MiB"),
    ],
    ids=["ssh", "two lengths", "long header", "bad gzip", "brotli", "bomb", "large"],
)
async def test_what_is_no_answer_says_so(answer: bytes, problem: str) -> None:
    async with serving(always(answer)) as server, client_of(server) as client:
        with pytest.raises(BadAnswer, match=problem):
            await ask(client)


async def test_an_answer_that_is_cut_is_an_error() -> None:
    async def serve(wire: Wire) -> None:
        await wire.request()
        await wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")

    async with serving(serve) as server, client_of(server) as client:
        until = time.monotonic() + 5
        response = await client.send(b"POST", b"/", JSON, b"", until)
        assert await response.read(until) == b"abc"
        with pytest.raises(ConnectionBroken):
            await response.read(until)
        response.close()


async def test_waiting_for_the_head_and_for_the_rest_has_an_end() -> None:
    async def serve(wire: Wire) -> None:
        _, body = await wire.request()
        if body == b"half":
            await wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        await wire.reader.read()

    async with serving(serve) as server, client_of(server) as client:
        with pytest.raises(TimedOut) as caught:
            await ask(client, b"none", seconds=0.05)
        assert not caught.value.connecting
        with pytest.raises(TimedOut):
            await ask(client, b"half", seconds=0.05)


async def test_whoever_stops_waiting_closes_the_connection() -> None:
    came, left = asyncio.Event(), asyncio.Event()

    async def serve(wire: Wire) -> None:
        await wire.request()
        came.set()
        await wire.reader.read()
        left.set()

    async with serving(serve) as server, client_of(server) as client:
        asking = asyncio.create_task(ask(client, seconds=60))
        await came.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.wait_for(left.wait(), 5)


async def test_an_answer_that_nobody_reads_is_held_back() -> None:
    """The server can send only as much as fits into buffers until somebody reads."""
    sent = 0

    async def serve(wire: Wire) -> None:
        nonlocal sent
        await wire.request()
        await wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 << 20))
        for _ in range(1024):
            await wire.say(b"x" * (64 << 10))
            sent += 64 << 10

    async with serving(serve) as server, client_of(server) as client:
        until = time.monotonic() + 60
        response = await client.send(b"POST", b"/", JSON, b"", until)
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.1)
        assert sent < 32 << 20
        assert len(await response.body(64 << 20, until)) == 64 << 20
        response.close()


async def test_nobody_there() -> None:
    async with serving(always(b"")) as server:
        pass
    client = HttpClient(Origin.of(server.url))
    with pytest.raises(CannotConnect) as refused:
        await ask(client)
    assert not refused.value.tls
    with pytest.raises(CannotConnect):
        await ask(HttpClient(Origin.of("http://host.invalid:1")))


async def test_no_tls_where_tls_is_expected() -> None:
    async def serve(wire: Wire) -> None:
        await wire.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with serving(serve) as server:
        client = HttpClient(Origin.of(server.url.replace("http://", "https://")))
        with pytest.raises(CannotConnect) as refused:
            await ask(client)
        assert refused.value.tls


async def test_a_body_larger_than_any_buffer_arrives() -> None:
    body = bytes(range(256)) * (8 << 10)

    async def serve(wire: Wire) -> None:
        _, got = await wire.request()
        await wire.say(whole(str(got == body).encode()))

    async with serving(serve) as server, client_of(server) as client:
        assert await ask(client, body) == (200, b"True")


def test_it_runs_on_uvloop() -> None:
    async def run() -> None:
        async with serving(always(whole(b"x"))) as server, client_of(server) as client:
            assert await ask(client) == (200, b"x")
            assert await ask(client, seconds=math.inf) == (200, b"x")
            assert server.connections == 1

    uvloop.run(run())


@pytest.mark.parametrize("url", ["ftp://host/", "host", "http://", "file:///etc/passwd"])
def test_only_web_addresses_are_origins(url: str) -> None:
    with pytest.raises(ValueError, match="not an http or https address"):
        Origin.of(url)


def test_the_host_header_names_the_port_where_it_is_not_the_usual_one() -> None:
    assert Origin.of("https://api.example.com/v1").authority == "api.example.com"
    assert Origin.of("http://api.example.com:8000").authority == "api.example.com:8000"
    assert Origin.of("http://[::1]:80").authority == "[::1]"
