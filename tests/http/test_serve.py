"""The server as a process: it binds or says why not, and a signal ends it without cutting anybody off."""

import asyncio
import json
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
