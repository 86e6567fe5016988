"""OpenAI's batches: /v1/batches. Many requests in one file, answered when there is room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from penstock.batches.answering import LineEndpoint, Wording
from penstock.batches.values import Batch, BatchError, NewBatch, Status
from penstock.errors import InvalidRequest
from penstock.exchange import Exchange
from penstock.http import openai, operations, responses
from penstock.http.answering import Write
from penstock.http.errors import as_penstock, body_of, status_of
from penstock.http.files import batches_of, kept_seconds
from penstock.http.openai import Read
from penstock.http.routes import ApiRoute, Description, principal_of, read_json, read_query, reply
from penstock.models.dialects.openai import requests
from penstock.models.dialects.openai.operations import read_moderation, read_rerank
from penstock.models.dialects.responses.requests import read_response

PATH = "/v1/batches"
ONE = PATH + "/{batch_id}"


class ExpiresAfter(Struct):
    anchor: str
    seconds: int


class BatchBody(Struct):
    """`completion_window` is a time such as "24h". `output_expires_after` is how long the output is kept."""

    input_file_id: str
    endpoint: str
    completion_window: str = "24h"
    metadata: dict[str, str] | None = None
    output_expires_after: ExpiresAfter | None = None


class BatchQuery(Struct):
    """`after` is the id of a batch."""

    after: str | None = None
    limit: int = 20


class ErrorList(Struct, frozen=True):
    data: Sequence[BatchError]
    object: str = "list"


class RequestCounts(Struct, frozen=True):
    total: int
    completed: int
    failed: int


class BatchWire(Struct, frozen=True, kw_only=True):
    id: str
    object: str = "batch"
    endpoint: str
    model: str | None
    errors: ErrorList | None
    input_file_id: str
    completion_window: str
    status: Status
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    metadata: dict[str, str]


class BatchList(Struct, frozen=True, kw_only=True):
    object: str = "list"
    data: list[BatchWire]
    first_id: str | None
    last_id: str | None
    has_more: bool


MOMENTS = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")


def batch_wire(batch: Batch) -> BatchWire:
    moments: dict[str, Any] = {f"{name}_at": seconds(getattr(batch, f"{name}_us")) for name in MOMENTS}
    if batch.status != "expired":  # it is noted already while the files are written
        moments["expired_at"] = None
    return BatchWire(
        id=batch.id,
        endpoint=batch.endpoint,
        model=batch.model,
        errors=ErrorList(batch.errors) if batch.errors else None,
        input_file_id=batch.input_file_id,
        completion_window=batch.completion_window,
        status=batch.status,
        output_file_id=batch.output_file_id,
        error_file_id=batch.error_file_id,
        created_at=batch.created_us // 1_000_000,
        expires_at=batch.expires_us // 1_000_000,
        request_counts=RequestCounts(batch.total, batch.completed, batch.failed),
        metadata=batch.metadata,
        **moments,
    )


def seconds(us: int | None) -> int | None:
    return None if us is None else us // 1_000_000


async def create_batch(request: Request) -> Response:
    body = await read_json(request, BatchBody)
    expires = body.output_expires_after
    new = NewBatch(
        endpoint=body.endpoint,
        input_file_id=body.input_file_id,
        completion_window=body.completion_window,
        metadata=body.metadata or {},
        output_seconds=None
        if expires is None
        else kept_seconds(expires.anchor, expires.seconds, "output_expires_after"),
    )
    return reply(batch_wire(await batches_of(request).create(principal_of(request), new, ENDPOINTS)))


async def list_batches(request: Request) -> Response:
    query = read_query(request, BatchQuery)
    if not 1 <= query.limit <= 100:
        raise InvalidRequest(f"limit {query.limit} is out of range.", hint="Use 1 to 100.", param="limit")
    project_id = principal_of(request).project_id
    found, has_more = await batches_of(request).page(project_id, query.after, query.limit)
    data = [batch_wire(batch) for batch in found]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return reply(BatchList(data=data, first_id=first, last_id=last, has_more=has_more))


async def get_batch(request: Request) -> Response:
    return reply(batch_wire(await batches_of(request).get(*named(request))))


async def cancel_batch(request: Request) -> Response:
    return reply(batch_wire(await batches_of(request).cancel(*named(request))))


def named(request: Request) -> tuple[str, str]:
    """Whose batch, and which."""
    return principal_of(request).project_id, request.path_params["batch_id"]


def line_endpoint(read: Read, write: Write) -> LineEndpoint:
    """Addresses in answers have no server in front: nobody named one."""
    return LineEndpoint(read, lambda exchange: write(exchange, ""))


ENDPOINTS: dict[str, LineEndpoint] = {
    "/v1/chat/completions": line_endpoint(requests.read_chat, openai.write_chat),
    "/v1/completions": line_endpoint(requests.read_completion, openai.write_completion),
    "/v1/embeddings": line_endpoint(requests.read_embedding, openai.write_embeddings),
    "/v1/moderations": line_endpoint(read_moderation, operations.write_passed),
    "/v1/rerank": line_endpoint(read_rerank, operations.write_ranking),
    "/v1/responses": line_endpoint(read_response, responses.write_response),
}
"""What the lines of a batch may ask, in the words of a caller who asks the same one by one."""


def refuse(error: Exception, exchange: Exchange) -> tuple[int, bytes]:
    found = as_penstock(error)
    return status_of(found), body_of(found, exchange.dialect)


WORDING = Wording(ENDPOINTS, refuse)

ROUTES = [
    ApiRoute(
        "POST",
        PATH,
        create_batch,
        Description(role="developer", summary="Answers the requests in a file.", body=BatchBody, answer=BatchWire),
    ),
    ApiRoute(
        "GET",
        PATH,
        list_batches,
        Description(role="developer", summary="Lists batches.", query=BatchQuery, answer=BatchList),
    ),
    ApiRoute("GET", ONE, get_batch, Description(role="developer", summary="One batch.", answer=BatchWire)),
    ApiRoute(
        "POST",
        ONE + "/cancel",
        cancel_batch,
        Description(role="developer", summary="Stops a batch; what is answered stays.", answer=BatchWire),
    ),
]
