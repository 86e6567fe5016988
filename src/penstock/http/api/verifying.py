"""POST /api/v1/knowledge/{name}/verify: whether the knowledge still is what was written, and putting it right."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from penstock.audit.record import Event
from penstock.errors import Unavailable
from penstock.gateway.services import Services
from penstock.http.acting import record
from penstock.http.api.knowledge import ONE, own_base_of
from penstock.http.errors import as_penstock, body_of
from penstock.http.routes import EVENTS, ApiRoute, Description, read_query, reply
from penstock.knowledge.verify import Checking, Tell, Verification, VerificationReport

BEAT_SECONDS = 0.5
"""Between two events, so that nothing on the way takes a long check for a dead one."""


class CheckQuery(Struct, frozen=True, kw_only=True):
    """`repair` puts right what differs, and only that. With `stream` the answer is events: where the check is, at
    the end the report. It ends with its connection; a repair that was broken off is gone on with by the next."""

    repair: bool = False
    stream: bool = False


async def verify(request: Request) -> Response:
    base, query = own_base_of(request), read_query(request, CheckQuery)
    services: Services = request.app.state.services
    sources = None
    if query.repair:
        if services.ingestions is None:
            raise Unavailable("This server takes no documents in.", hint="Serve an app with `penstock up`.")
        sources = services.ingestions.sources(base.name)
        await record(request, Event(action="knowledge.repaired", target=base.name))
    if query.stream:
        events = watched(lambda tell: base.verify(sources, tell))
        return StreamingResponse(events, media_type="text/event-stream", headers={"cache-control": "no-cache"})
    return reply((await base.verify(sources)).report())


async def watched(work: Callable[[Tell], Awaitable[Verification]]) -> AsyncIterator[bytes]:
    """The events of a check: `progress` while it goes on, then its `report` or an `error`."""
    last = [Checking("waiting")]

    def tell(at: Checking) -> None:
        last[0] = at

    task = asyncio.ensure_future(work(tell))
    try:
        while not task.done():
            yield event({"progress": last[0]})
            await asyncio.wait({task}, timeout=BEAT_SECONDS)
        failure = task.exception()
        if failure is None:
            yield event({"report": task.result().report()})
        else:
            yield event(msgspec.Raw(body_of(as_penstock(failure))))
        yield b"data: [DONE]\n\n"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def event(data: object) -> bytes:
    return b"data: " + msgspec.json.encode(data) + b"\n\n"


ROUTES = [
    ApiRoute(
        "POST",
        ONE + "/verify",
        verify,
        Description(
            role="admin",
            summary="Compares what is stored, here and in a vector database, with what was written.",
            query=CheckQuery,
            answer=VerificationReport,
            answer_types=EVENTS,
        ),
    ),
]
