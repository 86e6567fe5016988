"""The server as a process: it binds or says why not, and a signal ends it without cutting anybody off."""

import asyncio
import contextlib
import json
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from support.gateway_site import site

from penstock.errors import ConfigError
from penstock.http.serve import HttpServer, ServerAddress, listen

CHILD = Path(__file__).parents[1] / "support" / "serve_child.py"
STREAM = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
PATH = "/v1/chat/completions"


def test_a_port_in_use_is_named() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            listen("127.0.0.1", port)
    assert str(caught.value) == (
        f"Port {port} on 127.0.0.1 is in use. Stop what uses it, or choose another: --port {port + 1}."
    )


@pytest.mark.parametrize("host", ["example.com", ""])
def test_a_host_is_an_address(host: str) -> None:
    with pytest.raises(ConfigError, match="is not an address"):
        listen(host, 0, keyed=True)


def test_other_addresses_are_listened_on_once_there_is_a_key() -> None:
    with listen("0.0.0.0", 0, keyed=True) as bound:
        assert bound.getsockname()[0] == "0.0.0.0"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::"])
def test_only_loopback_is_listened_on_without_a_key(host: str) -> None:
    with pytest.raises(ConfigError, match="is not a loopback address") as caught:
        listen(host, 0)
    assert "127.0.0.1" in caught.value.hint


def test_a_socket_of_each_kind_of_loopback() -> None:
    for host in ("127.0.0.1", "localhost", "::1"):
        try:
            with listen(host, 0) as bound:
                assert bound.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        except ConfigError as error:
            assert host == "::1", error  # a machine without IPv6


async def test_a_server_that_cannot_bind_raises(tmp_path: Path) -> None:
    async with site(tmp_path) as it:
        second = HttpServer(it.server.app, ServerAddress(port=it.server.port))
        with pytest.raises(ConfigError, match="in use"):
            await second.start()
        assert (await it.chat())[0] == 200


@asynccontextmanager
async def serving(folder: Path, drain: float) -> AsyncIterator[tuple[Process, str, aiohttp.ClientSession]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), str(folder), str(drain), stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    try:
        url = (await process.stdout.readline()).decode().strip()
        async with aiohttp.ClientSession() as session:
            yield process, url, session
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_signal_lets_streams_finish(tmp_path: Path) -> None:
    async with serving(tmp_path, 20) as (process, url, session), session.post(url + PATH, json=STREAM) as response:
        assert b"assistant" in await response.content.readuntil(b"\n\n")
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        while b"stopping: 1 answers may finish within 20 s" not in await process.stderr.readline():
            pass
        assert process.stdin is not None
        process.stdin.write(b"go on\n")
        rest = await response.content.read()
        assert b"more." in rest
        assert rest.endswith(b"data: [DONE]\n\n")
        out, _ = await process.communicate()
    assert process.returncode == 0
    assert out.split() == [b"served", b"closed"]


async def test_a_signal_cuts_off_none_of_200_streams(tmp_path: Path) -> None:
    async with serving(tmp_path, 30) as (process, url, _):
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session, AsyncExitStack() as open_streams:
            idle = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
            idle[1].write(b"GET /health/live HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            assert (await idle[0].readline()).split()[1] == b"200"
            streams = [
                await open_streams.enter_async_context(session.post(url + PATH, json=STREAM)) for _ in range(200)
            ]
            for stream in streams:
                assert b"assistant" in await stream.content.readuntil(b"\n\n")
            process.send_signal(signal.SIGTERM)
            assert b"live" in await idle[0].read(), "a connection without a request is closed"
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(*url.removeprefix("http://").split(":"))
            assert process.stdin is not None
            process.stdin.write(b"go on\n")
            ends = await asyncio.gather(*(stream.content.read() for stream in streams))
        out, _ = await process.communicate()
    assert all(b"more." in end and end.endswith(b"data: [DONE]\n\n") for end in ends)
    assert (process.returncode, out.split()) == (0, [b"served", b"closed"])


async def test_an_answer_given_while_stopping_is_the_last_of_its_connection(tmp_path: Path) -> None:
    async with serving(tmp_path, 30) as (process, url, _):
        reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
        body = json.dumps(STREAM | {"stream": False}).encode()
        head = f"POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        async with aiohttp.ClientSession() as session:
            while "in_flight 1.0" not in await (await session.get(url + "/metrics")).text():
                pass
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        while b"stopping" not in await process.stderr.readline():
            pass
        assert process.stdin is not None
        with pytest.raises(ConnectionRefusedError):
            while True:
                with contextlib.suppress(ConnectionResetError):  # it may have waited to be accepted when that ended
                    (await asyncio.open_connection(*url.removeprefix("http://").split(":")))[1].close()
        process.stdin.write(b"go on\n")
        answer = await reader.read()
        await process.communicate()
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer
    assert b"more." in answer


async def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    async with serving(tmp_path, 60) as (process, url, session), session.post(url + PATH, json=STREAM) as response:
        assert b"assistant" in await response.content.readuntil(b"\n\n")
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        while b"stopping" not in await process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        events = (await response.content.read()).split(b"\n\n")
        out, _ = await process.communicate()
    error = json.loads(events[-2].removeprefix(b"data: "))
    assert error["error"]["message"].startswith("The server is stopping.")
    assert (process.returncode, out.split()) == (0, [b"served", b"closed"])


async def test_a_client_that_leaves_is_noticed_on_uvloop(tmp_path: Path) -> None:
    async with serving(tmp_path, 60) as (process, url, session):
        async with session.post(url + PATH, json=STREAM) as response:
            await response.content.readuntil(b"\n\n")
            response.close()
        text = b""
        while b'status="499"} 1.0' not in text:
            async with session.get(url + "/metrics") as metrics:
                text = await metrics.read()
        process.send_signal(signal.SIGTERM)
        await process.communicate()
    assert process.returncode == 0
