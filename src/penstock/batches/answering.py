"""One line of a batch, asked as a request of its own: through the same stages as a caller's, in the same words."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec
from msgspec import Raw, Struct

from penstock.batches.lines import Response, answered, body_of
from penstock.batches.values import Batch, Line, Result
from penstock.errors import (
    BudgetExceeded,
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    PenstockError,
    RateLimited,
    Unavailable,
    UpstreamFailed,
)
from penstock.exchange import Chunk, Exchange, Principal
from penstock.gateway.flight import Flight
from penstock.gateway.services import Services
from penstock.ids import new_id, new_trace_id

Read = Callable[[bytes, Exchange], Exchange]


class WholeWriter(Protocol):
    """Writes an answer that is not streamed."""

    def whole(self, chunks: list[Chunk]) -> bytes: ...


class LineEndpoint(Struct, frozen=True):
    """What a batch may ask: how its bodies are read, and how its answers are written."""

    read: Read
    write: Callable[[Exchange], WholeWriter]


class Wording(Struct, frozen=True):
    """How requests and answers look, as the server that speaks with callers has it.

    `refuse` gives the status and the body of an error.
    """

    endpoints: Mapping[str, LineEndpoint]
    refuse: Callable[[Exception, Exchange], tuple[int, bytes]]


class Wait(Struct, frozen=True):
    """Why a line is to be asked later. `seconds` is when, `None` where nobody said.

    `patient` says that it may be tried until the batch expires: the line did not fail, there was no room for it.
    """

    seconds: float | None
    patient: bool


class Later(Struct, frozen=True):
    """A line could not be asked now. `result` is what it comes to where it is not tried again."""

    wait: Wait
    result: Result


class Place:
    """A line that is about to enter, among the others that are."""

    def __init__(self, coming: set[Place]) -> None:
        self._coming = coming
        coming.add(self)

    def free(self) -> None:
        self._coming.discard(self)


class Answerer:
    """`services` are those of the present configuration, which may be another one with every line."""

    def __init__(self, services: Callable[[], Services], wording: Wording) -> None:
        self._services = services
        self._wording = wording
        self._coming: set[Place] = set()

    def place(self) -> Place | None:
        """A place for a line that is about to be asked, to be freed; `None` where the server has none now."""
        admission = self._services().admission
        if admission is not None and not admission.has_room("batch", len(self._coming)):
            return None
        return Place(self._coming)

    async def answer(
        self, batch: Batch, line: Line, data: bytes, principal: Principal, place: Place
    ) -> Result | Later:
        """What a line came to. `data` is the line; cancelling this cancels the work behind it."""
        services = self._services()
        custom_id, body = body_of(data)
        exchange = Exchange(
            id=new_id("req"),
            trace_id=new_trace_id(),
            purpose="batch",
            project_id=principal.project_id,
            principal=principal,
            deadline=time.monotonic() + services.settings.server.request_seconds,
            options={"session": batch.id},
        )
        flight: Flight | None = None
        wait: Wait | None = None
        try:
            exchange = self._wording.endpoints[batch.endpoint].read(body, exchange)
            if exchange.stream:
                raise InvalidRequest("'stream' cannot be true in a batch.", hint="Leave it out.", param="stream")
            flight = services.pipeline.run(exchange)
            place.free()  # what counts it from here on is its first step, before anything else runs
            status, said = 200, one_line(await self._fly(flight, batch.endpoint))
        except Exception as error:
            wait = when(error)
            status, said = self._wording.refuse(error, exchange)
        if flight is not None:
            model = flight.target.name if flight.target is not None else ""
            services.meter.count_request(f"{batch.endpoint} (batch)", model, status)
        result = answered(line.number, custom_id, Response(status, exchange.id, Raw(said)))
        return result if wait is None else Later(wait, result)

    async def _fly(self, flight: Flight, endpoint: str) -> bytes:
        """The body of the answer. Raises a `PenstockError`."""
        flight.lingers = True
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + left(flight.exchange)):
                chunks = [chunk async for chunk in flight]
        except TimeoutError:
            raise DeadlineExceeded(
                "The line took longer than this server allows.",
                hint="Ask for a shorter answer, or raise request_seconds under [server] in penstock.toml.",
            ) from None
        finally:
            await flight.aclose()
        return self._wording.endpoints[endpoint].write(flight.exchange).whole(chunks)


def left(exchange: Exchange) -> float:
    return max(0.0, exchange.deadline - time.monotonic())


def when(error: Exception) -> Wait | None:
    """When a line can be tried again that was refused; `None` where it failed.

    Limits on requests, tokens and concurrency free again. One on money does not count as that: nobody knows whether
    its owner wants the rest of a batch to be paid for.
    """
    if isinstance(error, BudgetExceeded):
        return None
    if isinstance(error, (Overloaded, RateLimited)):
        never = isinstance(error, RateLimited) and error.retry_after is None
        return None if never else Wait(error.retry_after, patient=True)
    if isinstance(error, UpstreamFailed):
        if error.kind in ("rate_limit", "overloaded"):
            return Wait(error.retry_after, patient=True)
        return Wait(error.retry_after, patient=False) if error.kind == "connection" else None
    return Wait(error.retry_after, patient=False) if isinstance(error, Unavailable) else None


def one_line(body: bytes) -> bytes:
    """JSON without line breaks. Raises `PenstockError` for what is none."""
    try:
        return msgspec.json.format(body, indent=-1)
    except msgspec.MsgspecError:
        raise PenstockError("The model's answer is not JSON.", hint="Ask for another form of answer.") from None
