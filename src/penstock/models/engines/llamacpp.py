"""The llama.cpp engine as a provider: a child process that runs llama.cpp's own HTTP server.

Its native routes are used, not the OpenAI ones: they take tokens that were counted, and say what was generated.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import aiohttp
import msgspec

from penstock.errors import (
    ConfigError,
    EngineStopped,
    InvalidRequest,
    PenstockError,
)
from penstock.exchange import Chunk, Exchange, TokenLogprob, Usage
from penstock.models.engines import wire
from penstock.models.engines.base import (
    AnswerStream,
    EngineSettings,
    Load,
    Sampling,
    TokenBudget,
    check_operation,
    memory_of,
    most_new,
    past_deadline,
    sampling,
    seconds_left,
)
from penstock.models.engines.constraint_check import ConstraintChecker
from penstock.models.engines.text import StopScanner, scores_within
from penstock.models.engines.turns import SpecialTokens
from penstock.process import ChildCommand, SupervisedChild
from penstock.seams import EngineHealth


class Probability(msgspec.Struct):
    token: str = ""
    logprob: float = 0.0


class Event(msgspec.Struct):
    """What llama.cpp sends: one piece of an answer, or the whole of it."""

    content: str = ""
    stop: bool = False
    stop_type: str = ""
    tokens_predicted: int = 0
    completion_probabilities: list[Probability] = []
    error: dict[str, Any] | None = None


decode_event = msgspec.json.Decoder(Event).decode


class LlamaCppEngine:
    """Runs one GGUF file with llama.cpp."""

    def __init__(self, settings: EngineSettings) -> None:
        if importlib.util.find_spec("xllamacpp") is None:
            raise ConfigError(
                'engine = "llamacpp" needs the package xllamacpp.', hint="Run: pip install 'penstock[llamacpp]'"
            )
        self._settings = settings
        self._load = Load(settings)
        self._budget = TokenBudget(settings.cache_tokens)
        self._streams: set[AnswerStream] = set()
        self._serving: wire.Serving | None = None
        self._special = SpecialTokens(())
        self._session: aiohttp.ClientSession | None = None
        self._gone = asyncio.Event()
        self._child = SupervisedChild(
            ChildCommand(
                name=f"engine {settings.model}",
                module="penstock.models.engines.llamacpp_child",
                setup=wire.encode(wire.setup_of(settings)),
                start_timeout=settings.start_timeout,
            ),
            on_frame=lambda payload: None,
            on_ready=self._on_ready,
            on_exit=self._on_exit,
        )
        self._constraints = ConstraintChecker(settings, "penstock.models.engines.llamacpp_rehearsal")

    @property
    def name(self) -> str:
        return self._settings.model

    async def start(self) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None), trust_env=False)
        await self._child.start()

    async def close(self) -> None:
        self._fail_all(EngineStopped(f"'{self.name}' is shutting down.", hint="Send the request again later."))
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        await asyncio.gather(self._child.stop(), self._constraints.close())

    def health(self) -> EngineHealth:
        child = self._child
        return EngineHealth(
            state=child.state,
            model=self.name,
            pid=child.pid,
            restarts=child.restarts,
            running=self._load.running,
            waiting=self._load.waiting,
            memory_bytes=memory_of(child.pid),
            cache_used=self._budget.used_share if child.state == "ready" else None,
            detail=child.reason,
        )

    async def count_tokens(self, exchange: Exchange) -> int:
        check_operation(exchange, self.name)
        await self._ready(exchange.deadline)
        try:
            async with asyncio.timeout(seconds_left(exchange.deadline)):
                return len(await self._tokens(exchange))
        except TimeoutError:
            raise past_deadline(self.name) from None

    async def answer(self, exchange: Exchange) -> AsyncIterator[Chunk]:
        """Raises as the OpenVINO engine does."""
        check_operation(exchange, self.name)
        chosen = sampling(exchange.parameters, self._settings)
        with self._load.admitted():
            constraint = exchange.parameters.constraint
            grammar = await self._constraints.check(constraint, exchange.deadline) if constraint else ""
            await self._ready(exchange.deadline)
            stream = AnswerStream()
            self._streams.add(stream)
            work = asyncio.create_task(self._generate(exchange, chosen, grammar, stream))
            stream.expire_at(exchange.deadline, past_deadline(self.name), work.cancel)
            try:
                async for chunk in stream.read():
                    yield chunk
            finally:
                self._streams.discard(stream)
                stream.close()
                work.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await work

    async def _generate(self, exchange: Exchange, chosen: Sampling, grammar: str, stream: AnswerStream) -> None:
        """Writes the answer into `stream`. Leaving in the middle closes the connection, which ends generation."""
        try:
            tokens = await self._tokens(exchange)
            settings = self._settings
            most = most_new(chosen.max_tokens, len(tokens), settings.cache_tokens - len(tokens), settings)
            async with self._budget.reserved(len(tokens) + most):
                body = completion_body(tokens, most, chosen, grammar, stream=exchange.stream)
                reader = Reader(len(tokens), chosen.stop)
                async with contextlib.aclosing(self._events(body)) as events:
                    async for event in events:
                        chunk = reader.chunk(event)
                        stream.put(chunk)
                        if chunk.finish_reason:
                            return
            stream.fail(EngineStopped(f"'{self.name}' broke an answer off.", hint="Send the request again."))
        except PenstockError as error:
            stream.fail(error)
        except (aiohttp.ClientError, OSError) as error:
            with contextlib.suppress(TimeoutError):
                # The end of the process tells more, and comes a moment later.
                await asyncio.wait_for(self._gone.wait(), 1.0)
            stream.fail(EngineStopped(f"'{self.name}' stopped answering: {error}.", hint="Send the request again."))

    async def _tokens(self, exchange: Exchange) -> list[int]:
        if exchange.operation == "complete":
            tokens = await self._encode(exchange.prompt, add_special=True)
            beginning = self._serving.tokens.beginning if self._serving else None
            return tokens or ([] if beginning is None else [beginning])
        turns = [(message.role, message.text) for message in exchange.messages]
        messages, mark = self._special.mark(turns)
        rendered = await self._post("/apply-template", {"messages": messages})
        tokens = []
        for part in rendered["prompt"].split(mark):
            tokens += await self._encode(part, add_special=False)
        return tokens

    async def _encode(self, text: str, *, add_special: bool) -> list[int]:
        body = {"content": text, "add_special": add_special, "parse_special": True}
        tokens: list[int] = (await self._post("/tokenize", body))["tokens"]
        return tokens

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        async with self._request(path, body) as response:
            answer: dict[str, Any] = msgspec.json.decode(await response.read())
        if response.status != 200:
            message = (answer.get("error") or {}).get("message", f"HTTP {response.status}")
            raise InvalidRequest(
                f"the model's chat template or tokenizer refuses this: {message}", param="messages"
            )
        return answer

    async def _events(self, body: dict[str, Any]) -> AsyncGenerator[Event]:
        async with self._request("/completion", body) as response:
            if response.status != 200 or not body["stream"]:
                yield decode_event(await response.read())
                return
            async for line in response.content:
                if line.startswith(b"data: "):
                    yield decode_event(line[6:])
                elif line.startswith(b"error: "):
                    yield Event(error=msgspec.json.decode(line[7:]))

    def _request(self, path: str, body: dict[str, Any]) -> Any:
        serving, session = self._serving, self._session
        if serving is None or session is None:
            raise EngineStopped(f"'{self.name}' is restarting.", hint="Send the request again.")
        try:
            data = msgspec.json.encode(body)
        except UnicodeEncodeError as error:
            raise InvalidRequest(
                "the text is not valid Unicode: it has half of a surrogate pair.", hint="Send UTF-8 text."
            ) from error
        headers = {"authorization": f"Bearer {serving.token}", "content-type": "application/json"}
        return session.post(serving.address + path, data=data, headers=headers)

    async def _ready(self, deadline: float) -> None:
        await self._child.ready(min(deadline, time.monotonic() + self._settings.start_timeout))

    def _on_ready(self, payload: bytes) -> None:
        self._serving = wire.decode_serving(payload)
        self._special = SpecialTokens(self._serving.tokens.special)
        self._gone.clear()

    def _on_exit(self, reason: str) -> None:
        self._serving = None
        self._gone.set()
        self._fail_all(
            EngineStopped(
                f"the process of '{self.name}' ended in the middle ({reason}); it is being started again.",
                hint="Send the request again.",
            )
        )

    def _fail_all(self, error: PenstockError) -> None:
        for stream in self._streams:
            stream.fail(error)


def completion_body(
    tokens: list[int], most: int, chosen: Sampling, grammar: str, *, stream: bool
) -> dict[str, Any]:
    """The body of `/completion`. The samplers are named: llama.cpp's defaults would shape the answer too."""
    body: dict[str, Any] = {
        "prompt": tokens,
        "n_predict": most,
        "temperature": chosen.temperature,
        "top_p": chosen.top_p,
        "samplers": ["temperature", "top_p"],
        "seed": chosen.seed,
        "stream": stream,
    }
    if chosen.logprobs:
        body["n_probs"] = 1
    if grammar:
        body["grammar"] = grammar
    return body


class Reader:
    """Turns llama.cpp's events into chunks.

    Stop strings are looked for here: llama.cpp keeps the beginning of one that never came. With them, the
    log-probabilities wait for the end, when it is known which tokens the text has.
    """

    def __init__(self, prompt: int, stops: tuple[str, ...]) -> None:
        self._prompt = prompt
        self._scanner = StopScanner(stops) if stops else None
        self._scores: list[tuple[str, float]] = []
        self._sent = 0

    def chunk(self, event: Event) -> Chunk:
        """Raises `InvalidRequest` where the event is an error."""
        if event.error is not None:
            raise InvalidRequest(f"llama.cpp cannot run this request: {event.error.get('message')}.")
        scores = [(item.token, item.logprob) for item in event.completion_probabilities]
        text, stopped = event.content, False
        if self._scanner is not None:
            text, stopped = self._scanner.feed(text)
            text += self._scanner.flush() if event.stop and not stopped else ""
            self._scores += scores
            self._sent += len(text)
            scores = scores_within(self._scores, self._sent) if event.stop or stopped else []
        logprobs = tuple(TokenLogprob(*score) for score in scores if score[0])
        if not event.stop and not stopped:
            return Chunk(text=text, logprobs=logprobs)
        return Chunk(
            text=text,
            logprobs=logprobs,
            finish_reason="stop" if stopped or event.stop_type != "limit" else "length",
            usage=Usage(input=self._prompt, output=event.tokens_predicted),
        )
