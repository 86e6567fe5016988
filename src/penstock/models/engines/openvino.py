"""The OpenVINO engine as a provider: one child process that runs every request in one batch."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from itertools import count

from penstock import errors
from penstock.errors import EngineStopped, InvalidRequest, PenstockError
from penstock.exchange import Chunk, Exchange, FinishReason, TokenLogprob, Usage
from penstock.models.engines import wire
from penstock.models.engines.base import (
    AnswerStream,
    EngineSettings,
    Load,
    check_operation,
    memory_of,
    past_deadline,
    sampling,
    seconds_left,
)
from penstock.models.engines.constraint_check import ConstraintChecker
from penstock.process import ChildCommand, SupervisedChild
from penstock.seams import EngineHealth

FINISH: dict[str, FinishReason] = {"stop": "stop", "length": "length"}


class OpenVINOEngine:
    """Runs one GGUF file with OpenVINO GenAI."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._load = Load(settings)
        self._streams: dict[int, AnswerStream] = {}
        self._counts: dict[int, asyncio.Future[int]] = {}
        self._ids = count(1)
        self._last = wire.Frame()
        self._child = SupervisedChild(
            ChildCommand(
                name=f"engine {settings.model}",
                module="penstock.models.engines.openvino_child",
                setup=wire.encode(wire.setup_of(settings)),
                start_timeout=settings.start_timeout,
            ),
            on_frame=self._on_frame,
            on_exit=self._on_exit,
        )
        self._constraints = ConstraintChecker(settings, "penstock.models.engines.openvino_rehearsal")

    @property
    def name(self) -> str:
        return self._settings.model

    async def start(self) -> None:
        await self._child.start()

    async def close(self) -> None:
        self._fail_all(EngineStopped(f"'{self.name}' is shutting down.", hint="Send the request again later."))
        await asyncio.gather(self._child.stop(), self._constraints.close())

    def health(self) -> EngineHealth:
        child, frame = self._child, self._last
        running = min(frame.running, self._load.in_flight)
        return EngineHealth(
            state=child.state,
            model=self.name,
            pid=child.pid,
            restarts=child.restarts,
            running=running,
            waiting=self._load.in_flight - running,
            memory_bytes=memory_of(child.pid),
            cache_used=frame.cache_used if child.state == "ready" else None,
            detail=child.reason,
        )

    async def count_tokens(self, exchange: Exchange) -> int:
        check_operation(exchange, self.name)
        await self._ready(exchange.deadline)
        request_id = next(self._ids)
        counted: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._counts[request_id] = counted
        try:
            self._send(wire.Count(request_id, prompt_of(exchange)))
            async with asyncio.timeout(seconds_left(exchange.deadline)):
                return await counted
        except TimeoutError:
            raise past_deadline(self.name) from None
        finally:
            del self._counts[request_id]

    async def answer(self, exchange: Exchange) -> AsyncIterator[Chunk]:
        """Raises, before the first chunk: `InvalidRequest` and its kinds, `Overloaded`, `CacheExhausted`; at any
        time `DeadlineExceeded` and, where the process died, `EngineStopped`."""
        check_operation(exchange, self.name)
        chosen = sampling(exchange.parameters, self._settings)
        with self._load.admitted():
            constraint = exchange.parameters.constraint
            grammar = await self._constraints.check(constraint, exchange.deadline) if constraint else ""
            await self._ready(exchange.deadline)
            request_id = next(self._ids)
            stream = AnswerStream()
            self._streams[request_id] = stream
            try:
                self._send(
                    wire.Submit(
                        id=request_id,
                        prompt=prompt_of(exchange),
                        max_tokens=chosen.max_tokens,
                        temperature=chosen.temperature,
                        top_p=chosen.top_p,
                        seed=chosen.seed,
                        stop=chosen.stop,
                        logprobs=chosen.logprobs,
                        stream=exchange.stream,
                        grammar=grammar,
                    )
                )
                stream.expire_at(exchange.deadline, past_deadline(self.name), lambda: self._cancel(request_id))
                async for chunk in stream.read():
                    yield chunk
            finally:
                del self._streams[request_id]
                if not stream.finished:
                    self._cancel(request_id)
                stream.close()

    async def _ready(self, deadline: float) -> None:
        await self._child.ready(min(deadline, time.monotonic() + self._settings.start_timeout))

    def _send(self, command: wire.Command) -> None:
        try:
            payload = wire.encode(command)
        except UnicodeEncodeError as error:
            raise InvalidRequest(
                "the text is not valid Unicode: it has half of a surrogate pair.",
                hint="Send UTF-8 text.",
                param="messages",
            ) from error
        self._child.send(payload)

    def _cancel(self, request_id: int) -> None:
        with contextlib.suppress(EngineStopped):
            self._child.send(wire.encode(wire.Cancel(request_id)))

    def _on_frame(self, payload: bytes) -> None:
        frame = self._last = wire.decode_frame(payload)
        streams = self._streams
        scores = dict(frame.scores) if frame.scores else {}
        for request_id, text in frame.deltas:
            if stream := streams.get(request_id):
                items = scores.pop(request_id, ())
                stream.put(Chunk(text=text, logprobs=tuple(TokenLogprob(*item) for item in items)))
        for request_id, items in scores.items():
            if stream := streams.get(request_id):
                stream.put(Chunk(logprobs=tuple(TokenLogprob(*item) for item in items)))
        for end in frame.ends:
            if stream := streams.get(end.id):
                usage = Usage(input=end.prompt_tokens, output=end.output_tokens)
                stream.put(Chunk(finish_reason=FINISH[end.reason], usage=usage))
        for failure in frame.failures:
            error = error_of(failure)
            if stream := streams.get(failure.id):
                stream.fail(error)
            elif (counted := self._counts.get(failure.id)) and not counted.done():
                counted.set_exception(error)
        for request_id, tokens in frame.counts:
            if (counted := self._counts.get(request_id)) and not counted.done():
                counted.set_result(tokens)

    def _on_exit(self, reason: str) -> None:
        self._last = wire.Frame()
        self._fail_all(
            EngineStopped(
                f"the process of '{self.name}' ended in the middle ({reason}); it is being started again.",
                hint="Send the request again.",
            )
        )

    def _fail_all(self, error: PenstockError) -> None:
        for stream in self._streams.values():
            stream.fail(error)
        for counted in self._counts.values():
            if not counted.done():
                counted.set_exception(error)


def error_of(failure: wire.Failure) -> PenstockError:
    kind: type[PenstockError] = getattr(errors, failure.code)
    return kind(failure.message, hint=failure.hint, param=failure.param)


def prompt_of(exchange: Exchange) -> wire.Prompt:
    if exchange.operation == "chat":
        return wire.Prompt([(message.role, message.text) for message in exchange.messages])
    return wire.Prompt(None, exchange.prompt)
