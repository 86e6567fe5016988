"""The Responses API: /v1/responses, and the responses that were kept."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct
from starlette.requests import Request
from starlette.responses import Response

from penstock.errors import InvalidRequest, NotFound, UnsupportedFeature
from penstock.exchange import Exchange
from penstock.gateway.responses.repository import StoredResponse
from penstock.gateway.responses.store import ResponseStore
from penstock.gateway.services import Services
from penstock.http import examples
from penstock.http.answering import AnswerWriter, Running
from penstock.http.openai import Endpoint
from penstock.http.posts import base_url
from penstock.http.routes import EVENTS, ApiRoute, Description, principal_of, read_query, reply
from penstock.models.dialects.responses.answers import ResponsesWriter, with_addresses
from penstock.models.dialects.responses.bodies import ResponseBody
from penstock.models.dialects.responses.requests import read_response

PATH = "/v1/responses"
ONE = PATH + "/{response_id}"
ITEMS = msgspec.json.Decoder(list[dict[str, Any]])


class ResponseQuery(Struct):
    """`stream` and `starting_after` are for responses in the background, which are not offered."""

    stream: bool = False
    starting_after: int | None = None


class ItemsQuery(Struct):
    """`after` is the id of an item; `order` is of time."""

    after: str | None = None
    limit: int = 20
    order: Literal["asc", "desc"] = "desc"


class ItemList(Struct, frozen=True):
    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool
    object: str = "list"


class Deleted(Struct, frozen=True):
    id: str
    object: str = "response"
    deleted: bool = True


def write_response(exchange: Exchange, base: str) -> AnswerWriter:
    return ResponsesWriter(exchange, base)


async def get_response(request: Request) -> Response:
    query = read_query(request, ResponseQuery)
    if query.stream or query.starting_after is not None:
        raise UnsupportedFeature("A response that was kept is not streamed.", hint="Get it whole.", param="stream")
    body = with_addresses((await stored(request)).body, base_url(request.scope))
    return Response(body, media_type="application/json")


async def delete_response(request: Request) -> Response:
    id: str = request.path_params["response_id"]
    await store_of(request).delete(principal_of(request).project_id, id)
    return reply(Deleted(id))


async def list_input_items(request: Request) -> Response:
    query = read_query(request, ItemsQuery)
    if not 1 <= query.limit <= 100:
        raise InvalidRequest(f"limit {query.limit} is out of range.", hint="Use 1 to 100.", param="limit")
    response = await stored(request)
    items = [
        item if item.get("id") else {"id": f"item_{response.id}_{number}", **item}
        for number, item in enumerate(ITEMS.decode(response.input))
    ]
    if query.order == "desc":
        items.reverse()
    if query.after is not None:
        ids = [item["id"] for item in items]
        if query.after not in ids:
            raise InvalidRequest(f"There is no item {query.after[:100]!r}.", hint="Use last_id.", param="after")
        items = items[ids.index(query.after) + 1 :]
    page = items[: query.limit]
    first, last = (page[0]["id"], page[-1]["id"]) if page else (None, None)
    return reply(ItemList(page, first, last, len(items) > len(page)))


async def stored(request: Request) -> StoredResponse:
    """Raises `NotFound`, also for another project's."""
    return await store_of(request).get(principal_of(request).project_id, request.path_params["response_id"])


def store_of(request: Request) -> ResponseStore:
    services: Services = request.app.state.services
    if services.responses is None:
        raise NotFound("This server keeps no responses.", hint="Set store = true under [responses].")
    return services.responses


def routes(running: Running) -> list[ApiRoute]:
    """The routes of the API; `running` knows the answers that are on their way."""
    create = Endpoint(PATH, read_response, write_response, running)
    return [
        ApiRoute(
            "POST",
            PATH,
            create,
            Description(
                role="developer",
                summary="Answers items with items.",
                body=ResponseBody,
                example=examples.RESPONSE,
                answer_types=EVENTS,
            ),
        ),
        ApiRoute(
            "GET",
            ONE,
            get_response,
            Description(
                role="developer", summary="A response that was kept.", query=ResponseQuery, answer=dict[str, Raw]
            ),
        ),
        ApiRoute(
            "DELETE",
            ONE,
            delete_response,
            Description(role="developer", summary="Forgets a response.", answer=Deleted),
        ),
        ApiRoute(
            "GET",
            ONE + "/input_items",
            list_input_items,
            Description(role="developer", summary="What a response was given.", query=ItemsQuery, answer=ItemList),
        ),
    ]
