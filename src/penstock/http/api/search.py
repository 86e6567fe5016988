"""/api/v1/knowledge/{name}/search: the passages that fit a question, with all that a search can be asked for."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from penstock.errors import InvalidRequest
from penstock.gateway.services import Services
from penstock.http import examples
from penstock.http.rewriting import reworded
from penstock.http.routes import LARGEST, ApiRoute, Description, principal_of, read_json, read_query, reply
from penstock.knowledge.base import Hit, KnowledgeBase, Query, Reader
from penstock.knowledge.filters import Filter, parse_filter
from penstock.knowledge.readers import reader_of
from penstock.knowledge.values import Mode

MOST_HITS = 100
LONGEST_FILTER = 10_000

Question = Annotated[str, Meta(min_length=1, max_length=2000)]
Limit = Annotated[int, Meta(ge=1, le=MOST_HITS)]
Generation = Annotated[int, Meta(ge=0, le=LARGEST)]
Share = Annotated[float, Meta(ge=0, le=1)]
FilterText = Annotated[str, Meta(max_length=LONGEST_FILTER)]
Phrasings = Annotated[tuple[Question, ...], Meta(max_length=8)]


class SearchQuery(Struct, frozen=True, kw_only=True):
    """`generation` is one that is still kept; by default the published one. `filter` is as in the body of POST."""

    q: Question
    limit: Limit = 5
    generation: Generation | None = None
    mode: Mode = "hybrid"
    filter: FilterText = ""


class SearchBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to look for.

    `mode` "dense" goes by meaning alone, "text" by words alone. `filter` is on what is known of documents:
    `{"team": "hr", "year": {"gte": 2020}}`. `queries` are other phrasings of the question; with `rewrite` the model
    "default" words up to three more, as a call of the key's own. `rerank` `true` wants the reranker of the
    knowledge, `false` does without; by default it is used where there is one. `vector_weight` is the share of the
    vectors in the mix, `diversity` how much a likeness to earlier passages counts against one. `neighbours`
    passages on each side come with each, and with `expand` the larger part that it was cut from.
    """

    q: Question
    queries: Phrasings = ()
    rewrite: bool = False
    limit: Limit = 5
    generation: Generation | None = None
    filter: dict[str, Any] | None = None
    mode: Mode = "hybrid"
    rerank: bool | None = None
    vector_weight: Share | None = None
    diversity: Share = 0.0
    neighbours: Annotated[int, Meta(ge=0, le=5)] = 0
    expand: bool = False
    min_score: Share = 0.0


class SearchAnswer(Struct, frozen=True, kw_only=True):
    """Passages, best first. `queries` are the question and all phrasings of it that were searched."""

    hits: tuple[Hit, ...]
    generation: int
    queries: tuple[str, ...] = ()


async def search_by_address(request: Request) -> Response:
    base = base_of(request)
    query = read_query(request, SearchQuery)
    return await answer(
        base,
        Query(
            text=query.q,
            reader=reader_of(principal_of(request)),
            limit=query.limit,
            generation=query.generation,
            filter=filter_of_text(query.filter),
            mode=query.mode,
        ),
    )


async def search_by_body(request: Request) -> Response:
    base = base_of(request)
    body = await read_json(request, SearchBody)
    query = query_of(body, reader_of(principal_of(request)))
    return await answer(base, await reworded(request, query, "rewrite") if body.rewrite else query)


def query_of(body: SearchBody, reader: Reader) -> Query:
    """Raises `InvalidRequest` for a filter that cannot be read."""
    return Query(
        text=body.q,
        reader=reader,
        queries=body.queries,
        limit=body.limit,
        generation=body.generation,
        filter=None if body.filter is None else parse_filter(body.filter),
        mode=body.mode,
        rerank=body.rerank,
        vector_weight=body.vector_weight,
        diversity=body.diversity,
        neighbours=body.neighbours,
        expand=body.expand,
        min_score=body.min_score,
    )


async def answer(base: KnowledgeBase, query: Query) -> Response:
    result = await base.search(query)
    return reply(SearchAnswer(hits=result.hits, generation=result.generation, queries=(query.text, *query.queries)))


def base_of(request: Request) -> KnowledgeBase:
    """The knowledge that the path names. Raises `NotFound`."""
    services: Services = request.app.state.services
    return services.knowledge_of(principal_of(request), request.path_params["name"])


def filter_of_text(text: str) -> Filter | None:
    """A filter from the query string, where it is JSON. Raises `InvalidRequest`."""
    if not text:
        return None
    try:
        data = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise InvalidRequest(
            f"The filter {text[:60]!r} is no JSON.", hint='Write it as {"team": "hr"}, encoded.', param="filter"
        ) from None
    return parse_filter(data)


SEARCH = "/api/v1/knowledge/{name}/search"
ROUTES = [
    ApiRoute(
        "GET",
        SEARCH,
        search_by_address,
        Description(
            role="viewer",
            summary="Finds passages; both scores come with each.",
            query=SearchQuery,
            answer=SearchAnswer,
        ),
    ),
    ApiRoute(
        "POST",
        SEARCH,
        search_by_body,
        Description(
            role="viewer",
            summary="Finds passages, with filters, other phrasings, reranking and more.",
            body=SearchBody,
            example=examples.SEARCH,
            answer=SearchAnswer,
        ),
    ),
]
