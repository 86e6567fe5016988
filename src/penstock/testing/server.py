"""A provider on loopback that answers, stalls, fails and breaks off as it is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import msgspec
from aiohttp import web

from penstock.testing.answers import Answer, Behave, Bytes, Cut, Pause, Received, Reply, Step
from penstock.testing.faults import Fault, Plan, Schedule
from penstock.testing.simulator import simulate, unreadable

MALFORMED = (KeyError, IndexError, TypeError, AttributeError, msgspec.DecodeError)
"""What a body that is not of the vendor's shape raises."""


class ProviderServer:
    """Speaks the APIs of OpenAI (at `base_url`), Azure, Anthropic, Gemini and Bedrock (behind `url`).

        async with ProviderServer() as server:
            server.answers.append(Reply(status=429, body=b"{}", headers={"retry-after": "7"}))

    Takes the next of `answers` for each request, and when there is none, what `behave` gives; without that it is
    `simulator.simulate`, with the `faults` that are due. `received` are the requests, `left` counts clients that
    did not wait, `connections` those that came.
    """

    def __init__(
        self, behave: Behave | None = None, *, faults: Sequence[Plan] = (), seed: int = 0, port: int = 0
    ) -> None:
        self.answers: list[Answer] = []
        self.received: list[Received] = []
        self.schedule = Schedule(faults, seed)
        self.left = 0
        self.url = ""
        self._peers: set[object] = set()
        self._behave = behave
        self._changed = asyncio.Condition()
        self._port = port
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def connections(self) -> int:
        return len(self._peers)

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_post("/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await self.listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def listen(self) -> None:
        """Takes connections, at the same port as before."""
        assert self._runner is not None
        self._site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await self._site.start()
        self._port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}"

    async def refuse(self) -> None:
        """Refuses connections until `listen`; those that are open are closed."""
        assert self._runner is not None
        assert self._site is not None
        await self._site.stop()
        if self._runner.server is not None:
            await self._runner.server.shutdown(0.1)

    async def until(self, condition: Callable[[ProviderServer], bool]) -> None:
        """Returns when the condition holds: `await server.until(lambda it: it.left == 1)`."""
        async with self._changed:
            await self._changed.wait_for(lambda: condition(self))

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        received = Received(request.raw_path, headers, await request.read())
        self.received.append(received)
        peer = request.transport.get_extra_info("peername") if request.transport is not None else None
        is_reused = peer in self._peers
        self._peers.add(peer)
        await self._tell()
        fault = None if self.answers or self._behave else self.schedule.next()
        try:
            if fault is not None and fault.kind == "stale_connection" and is_reused:
                return broken_off(request, Cut(properly=True))
            return await self._send(request, self._answer(received, fault))
        except (asyncio.CancelledError, ConnectionResetError):
            self.left += 1
            self._telling = asyncio.ensure_future(self._tell())
            raise

    def _answer(self, received: Received, fault: Fault | None) -> Answer:
        if self.answers:
            return self.answers.pop(0)
        if self._behave is not None:
            return self._behave(received)
        try:
            return simulate(received, fault)
        except MALFORMED:
            return unreadable(received)

    async def _send(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        if isinstance(answer, Cut):
            return broken_off(request, answer)
        if answer.after is not None:
            await waited(answer.after)
        if isinstance(answer, Reply):
            return await sent_whole(request, answer)
        response = web.StreamResponse(headers={"content-type": answer.media_type})
        await response.prepare(request)
        for each in answer.events:
            if isinstance(each, Cut):
                broken_off(request, each)
                return response
            if isinstance(each, (asyncio.Event, Pause)):
                await waited(each)
            else:
                await response.write(framed(each))
        if answer.done:
            await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


async def sent_whole(request: web.Request, reply: Reply) -> web.StreamResponse:
    headers = {"content-type": "application/json"} | reply.headers
    if reply.drip is None and not reply.cut:
        return web.Response(status=reply.status, body=reply.body, headers=headers)
    response = web.StreamResponse(status=reply.status, headers=headers)
    response.content_length = len(reply.body)
    await response.prepare(request)
    if reply.cut:
        await response.write(reply.body[: len(reply.body) // 2])
        broken_off(request, Cut())
        return response
    for at in range(len(reply.body)):
        await response.write(reply.body[at : at + 1])
        await asyncio.sleep(reply.drip or 0)
    await response.write_eof()
    return response


async def waited(step: asyncio.Event | Pause) -> None:
    if isinstance(step, asyncio.Event):
        await step.wait()
    elif step.seconds == float("inf"):
        await asyncio.Event().wait()
    else:
        await asyncio.sleep(step.seconds)


def framed(step: Step) -> bytes:
    if isinstance(step, Bytes):
        return step.data
    assert isinstance(step, bytes)
    return b"data: " + step + b"\n\n"


def broken_off(request: web.Request, cut: Cut) -> web.Response:
    if request.transport is not None:
        with contextlib.suppress(RuntimeError):
            if cut.properly:
                request.transport.close()
            else:
                request.transport.abort()
    return web.Response()
