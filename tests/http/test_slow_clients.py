"""Clients that ask for a long stream and do not read it: the server keeps little for them, and goes on."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

from support.gateway_site import model, site

from penstock.exchange import Chunk, Exchange

CLIENTS = 50
CHUNK = "x" * 65_536
CHUNKS = 256
"""16 MiB for each client, 800 MiB in all."""


class Endless:
    """A model that says a lot, and counts how much of it was taken."""

    name = "endless"

    def __init__(self) -> None:
        self.taken = 0

    async def answer(self, exchange: Exchange) -> AsyncIterator[Chunk]:
        for _ in range(CHUNKS):
            self.taken += 1
            yield Chunk(text=CHUNK)
            await asyncio.sleep(0)

    async def close(self) -> None:
        pass


async def test_clients_that_do_not_read_are_given_no_more_than_their_connection_holds(tmp_path: Path) -> None:
    provider = Endless()
    async with site(tmp_path, model(provider), model(name="other")) as it, AsyncExitStack() as stack:
        body = json.dumps(
            {"model": "tiny", "stream": True, "messages": [{"role": "user", "content": "Go"}]}
        ).encode()
        host, port = it.url.removeprefix("http://").split(":")
        for _ in range(CLIENTS):
            reader, writer = await asyncio.open_connection(host, port, limit=1)
            stack.callback(writer.transport.abort)
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            assert (await reader.readexactly(12)) == b"HTTP/1.1 200"
        before = -1
        while provider.taken != before:
            before = provider.taken
            for _ in range(50):
                assert (await it.chat(model="other"))[0] == 200, "others are answered meanwhile"
        # What was taken lies in the buffers of the sockets, some MB each; the server waits with the rest.
        assert provider.taken < CLIENTS * CHUNKS / 2
        held = [connection.transport.get_write_buffer_size() for connection in it.services.meter.connections]
        assert max(held) <= 4 * len(CHUNK)
