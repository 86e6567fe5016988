"""An OpenAI-compatible API on loopback that answers, stalls, fails and breaks off as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import msgspec
from aiohttp import web
from msgspec import Struct


class Received(Struct, frozen=True):
    """One request as it came; header names are lower-case."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Cut(Struct, frozen=True):
    """Breaks the connection off, without an end."""


class Reply(Struct, frozen=True, kw_only=True):
    """A whole answer. `after` is waited for first."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = {}
    after: asyncio.Event | None = None


class Stream(Struct, frozen=True, kw_only=True):
    """A stream of events: `bytes` are the data of one, an event of asyncio is waited for, `Cut` breaks off.

    `done` false ends the stream properly, but without the mark that it is complete.
    """

    events: Sequence[bytes | asyncio.Event | Cut]
    done: bool = True


Answer = Reply | Stream | Cut
Behave = Callable[[Received], Answer]


class ProviderServer:
    """Serves /v1/chat/completions, /v1/completions and /v1/embeddings at `base_url`.

        async with ProviderServer() as server:
            server.answers.append(Reply(status=429, body=b"{}", headers={"retry-after": "7"}))

    Takes the next of `answers` for each request, and when there is none, what `behave` gives: by default an
    answer that repeats the last message. `received` are the requests, `left` counts clients that did not wait,
    `connections` those that came.
    """

    def __init__(self, behave: Behave | None = None) -> None:
        self.answers: list[Answer] = []
        self.received: list[Received] = []
        self.left = 0
        self._peers: set[object] = set()
        self._behave = behave or echo
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self.base_url = ""

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_post("/v1/{operation:.*}", self._handle)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def connections(self) -> int:
        return len(self._peers)

    async def until(self, condition: Callable[[ProviderServer], bool]) -> None:
        """Returns when the condition holds: `await server.until(lambda it: it.left == 1)`."""
        async with self._changed:
            await self._changed.wait_for(lambda: condition(self))

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        received = Received(request.path, headers, await request.read())
        self.received.append(received)
        if request.transport is not None:
            self._peers.add(request.transport.get_extra_info("peername"))
        await self._tell()
        answer = self.answers.pop(0) if self.answers else self._behave(received)
        try:
            return await self._send(request, answer)
        except (asyncio.CancelledError, ConnectionResetError):
            self.left += 1
            self._telling = asyncio.ensure_future(self._tell())
            raise

    async def _send(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        if isinstance(answer, Cut):
            return broken_off(request)
        if isinstance(answer, Reply):
            if answer.after is not None:
                await answer.after.wait()
            headers = {"content-type": "application/json"} | answer.headers
            return web.Response(status=answer.status, body=answer.body, headers=headers)
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for each in answer.events:
            if isinstance(each, asyncio.Event):
                await each.wait()
            elif isinstance(each, Cut):
                broken_off(request)
                return response
            else:
                await response.write(b"data: " + each + b"\n\n")
        if answer.done:
            await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def broken_off(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def echo(received: Received) -> Answer:
    """The last message, or the prompt, said again; in a stream word by word, with usage where it was asked for."""
    body = received.json
    if "input" in body:
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        data = [{"index": index, "embedding": [1.0, 0.0]} for index, _ in enumerate(texts)]
        return Reply(body=encode({"data": data, "usage": {"prompt_tokens": len(texts)}}))
    text = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
    words = text.split(" ")
    usage = {"prompt_tokens": len(words), "completion_tokens": len(words), "total_tokens": 2 * len(words)}
    if not body.get("stream"):
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "text": text}
        return Reply(body=encode({"choices": [choice | {"finish_reason": "stop"}], "usage": usage}))
    events = [
        encode({"choices": [spoken(f"{word} " if at < len(words) - 1 else word)]}) for at, word in enumerate(words)
    ]
    events.append(encode({"choices": [spoken("") | {"finish_reason": "stop"}]}))
    if (body.get("stream_options") or {}).get("include_usage"):
        events.append(encode({"choices": [], "usage": usage}))
    return Stream(events=events)


def spoken(text: str) -> dict[str, Any]:
    return {"index": 0, "delta": {"content": text}, "text": text, "finish_reason": None}


def encode(value: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"id": "answer-1", "created": 1, "model": "upstream-model", **value})
