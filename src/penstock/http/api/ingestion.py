"""/api/v1/knowledge/{name}: runs that take documents in, and the generations that they make."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from penstock.audit.record import Event
from penstock.errors import Unavailable
from penstock.gateway.services import Services
from penstock.http.acting import record
from penstock.http.api.knowledge import ONE, base_of, own_base_of
from penstock.http.routes import LARGEST, ApiRoute, Description, principal_of, read_query, reply
from penstock.knowledge.base import IngestSummary
from penstock.knowledge.generations import DocumentChange, Generation
from penstock.knowledge.ingestion.log import summary_of
from penstock.knowledge.ingestion.records import Run, RunRules
from penstock.knowledge.readers import reader_of

MOST_RUNS = 500
Number = Annotated[int, Meta(ge=1, le=LARGEST)]


class IngestQuery(Struct, frozen=True, kw_only=True):
    """`allow_delete` lets this run delete more of a source than its `max_delete`."""

    allow_delete: bool = False


class RunsQuery(Struct, frozen=True, kw_only=True):
    limit: Annotated[int, Meta(ge=1, le=MOST_RUNS)] = 20


class RunList(Struct, frozen=True, kw_only=True):
    """The last runs, newest first."""

    object: Literal["list"] = "list"
    data: tuple[Run, ...]


class GenerationList(Struct, frozen=True, kw_only=True):
    """The generations that are kept, newest first."""

    object: Literal["list"] = "list"
    data: tuple[Generation, ...]


class DiffQuery(Struct, frozen=True, kw_only=True):
    """Two generations that are kept; by default the newest and the one before it."""

    before: Annotated[int, Meta(ge=0, le=LARGEST)] | None = None
    after: Number | None = None


class Diff(Struct, frozen=True, kw_only=True):
    """What became of documents between two generations, by path."""

    object: Literal["list"] = "list"
    data: tuple[DocumentChange, ...]


class GenerationQuery(Struct, frozen=True, kw_only=True):
    """Which generation; see the route for what is taken where none is named."""

    number: Number | None = None


async def ingest(request: Request) -> Response:
    """Brings the knowledge in line with its sources; answers when that is done."""
    run = await submit(request)
    return reply(summary_of(await base_of(request).runs.over(run.id)))


async def start_run(request: Request) -> Response:
    return reply(await submit(request), 202)


async def submit(request: Request) -> Run:
    base = own_base_of(request)
    services: Services = request.app.state.services
    query = read_query(request, IngestQuery)
    if services.ingestions is None:
        raise Unavailable("This server takes no documents in.", hint="Serve an app with `penstock up`.")
    await record(request, Event(action="knowledge.ingested", target=base.name))
    return await services.ingestions.submit(base.name, "api", RunRules(allow_delete=query.allow_delete))


async def list_runs(request: Request) -> Response:
    query = read_query(request, RunsQuery)
    return reply(RunList(data=tuple(await own_base_of(request).runs.latest(query.limit))))


async def get_run(request: Request) -> Response:
    return reply(await own_base_of(request).runs.get(request.path_params["run_id"]))


async def cancel_run(request: Request) -> Response:
    base, run_id = own_base_of(request), request.path_params["run_id"]
    await base.runs.get(run_id)
    await record(request, Event(action="knowledge.run_cancelled", target=run_id, after={"knowledge": base.name}))
    return reply(await base.runs.cancel(run_id))


async def list_generations(request: Request) -> Response:
    return reply(GenerationList(data=tuple(await asyncio.to_thread(base_of(request).generations.kept))))


async def diff(request: Request) -> Response:
    base, query = base_of(request), read_query(request, DiffQuery)
    reader = reader_of(principal_of(request))
    changes = await asyncio.to_thread(base.generations.changes, query.before, query.after, reader)
    return reply(Diff(data=tuple(changes)))


async def roll_back(request: Request) -> Response:
    base, query = own_base_of(request), read_query(request, GenerationQuery)
    await record(request, Event(action="knowledge.rolled_back", target=base.name, after={"to": query.number}))
    return reply(await base.generations.roll_back(query.number))


async def publish(request: Request) -> Response:
    base, query = own_base_of(request), read_query(request, GenerationQuery)
    await record(request, Event(action="knowledge.published", target=base.name, after={"to": query.number}))
    return reply(await base.generations.publish(query.number))


RUN = ONE + "/runs/{run_id}"
ROUTES = [
    ApiRoute(
        "POST",
        ONE + "/ingest",
        ingest,
        Description(
            role="admin",
            summary="Takes in new and changed documents, forgets deleted ones, and answers when that is done.",
            query=IngestQuery,
            answer=IngestSummary,
        ),
    ),
    ApiRoute(
        "POST",
        ONE + "/runs",
        start_run,
        Description(
            role="admin",
            summary="Starts the same and answers at once; the run goes on also after a restart of the server.",
            status=202,
            query=IngestQuery,
            answer=Run,
        ),
    ),
    ApiRoute(
        "GET",
        ONE + "/runs",
        list_runs,
        Description(role="admin", summary="Lists runs, newest first.", query=RunsQuery, answer=RunList),
    ),
    ApiRoute(
        "GET",
        RUN,
        get_run,
        Description(role="admin", summary="One run: how far it is, or what came of it.", answer=Run),
    ),
    ApiRoute(
        "POST",
        RUN + "/cancel",
        cancel_run,
        Description(role="admin", summary="Ends a run; nothing of it is published.", answer=Run),
    ),
    ApiRoute(
        "GET",
        ONE + "/generations",
        list_generations,
        Description(role="admin", summary="Lists the generations that are kept.", answer=GenerationList),
    ),
    ApiRoute(
        "GET",
        ONE + "/generations/diff",
        diff,
        Description(
            role="viewer", summary="What became of documents between two generations.", query=DiffQuery, answer=Diff
        ),
    ),
    ApiRoute(
        "POST",
        ONE + "/rollback",
        roll_back,
        Description(
            role="admin",
            summary="Shows an earlier generation (by default the one before) until another is published.",
            query=GenerationQuery,
            answer=Generation,
        ),
    ),
    ApiRoute(
        "POST",
        ONE + "/publish",
        publish,
        Description(
            role="admin",
            summary="Shows a generation, by default the newest, and then those of later runs.",
            query=GenerationQuery,
            answer=Generation,
        ),
    ),
]
