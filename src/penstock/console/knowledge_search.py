"""The search bench: what a question finds, by meaning, by words and by both, with what each score is made of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from penstock.access.routes import principal_of
from penstock.console.choices import address as address_with
from penstock.console.knowledge_head import KnowledgeHead, base_of, head_of
from penstock.console.knowledge_hits import HitLine, hit_lines
from penstock.console.query import read_query
from penstock.console.rendering import View, history, is_partial, page_route, render
from penstock.errors import InvalidRequest, PenstockError
from penstock.gateway.services import Services
from penstock.knowledge.base import DocumentRow, KnowledgeBase, Query, Reader
from penstock.knowledge.filters import Filter, parse_filter
from penstock.knowledge.readers import reader_of
from penstock.knowledge.values import Mode

N = TypeVar("N", int, float)

SEARCH = View("knowledge_search.html", "Knowledge", "found")
MODES: dict[str, str] = {
    "hybrid": "Both together",
    "dense": "Meaning alone",
    "text": "Words alone",
    "compare": "All three",
}
COMPARED: tuple[Mode, ...] = ("hybrid", "dense", "text")
LIMITS = (5, 10, 20, 50)
MOST_FIELDS = 12
MOST_VALUES = 4


class BenchQuery(Struct, frozen=True, kw_only=True):
    """What stands in the address. `weight` is the share of the meaning, "" the knowledge's own; `generation` "" is
    the published one."""

    q: Annotated[str, Meta(max_length=2000)] = ""
    mode: Literal["hybrid", "dense", "text", "compare"] = "hybrid"
    limit: Annotated[int, Meta(ge=1, le=50)] = 5
    filter: Annotated[str, Meta(max_length=10_000)] = ""
    rerank: Literal["", "off"] = ""
    weight: str = ""
    generation: str = ""


class FieldHint(Struct, frozen=True):
    """A field that documents have, with some of its values as JSON."""

    name: str
    values: tuple[str, ...]


class TriedSearch(Struct, frozen=True, kw_only=True):
    """One search and what it found. `mode` is what it went by."""

    mode: str
    label: str
    generation: int
    took_us: int
    hits: tuple[HitLine, ...]


class SearchPage(Struct, frozen=True, kw_only=True):
    """`problem` says why there is nothing to see. `own_weight` holds where the query does not say."""

    title: str
    head: KnowledgeHead
    query: BenchQuery
    modes: dict[str, str]
    limits: tuple[int, ...]
    fields: tuple[FieldHint, ...]
    generations: tuple[int, ...]
    reranks: bool
    own_weight: float
    tried: tuple[TriedSearch, ...]
    problem: PenstockError | None


async def show(request: Request) -> Response:
    base, reader = base_of(request), reader_of(principal_of(request))
    query = read_query(request, BenchQuery)
    tried, problem = await attempt(request, base, query)
    partial = is_partial(request)
    counts = await asyncio.to_thread(base.counts, reader)
    head = head_of(request, base, counts, "Search")
    rows = [] if partial else await asyncio.to_thread(base.documents, reader)
    kept = await asyncio.to_thread(base.generations.kept) if head.keeps and not partial else []
    services: Services = request.app.state.services
    settings = services.settings.knowledge[base.name]
    page = SearchPage(
        title=f"Search {base.name}",
        head=head,
        query=query,
        modes=MODES,
        limits=tuple(sorted({*LIMITS, query.limit})),
        fields=field_hints(rows),
        generations=tuple(each.number for each in kept),
        reranks=settings.reranker is not None,
        own_weight=settings.vector_weight,
        tried=tried,
        problem=problem,
    )
    answer = render(request, SEARCH, page, history(bench_address(head, query), is_new=False))
    if problem is not None and not partial:
        answer.status_code = problem.status
    return answer


async def attempt(
    request: Request, base: KnowledgeBase, query: BenchQuery
) -> tuple[tuple[TriedSearch, ...], PenstockError | None]:
    """What the searches came to, or why there are none."""
    if not query.q.strip():
        return (), None
    services: Services = request.app.state.services
    own_weight = services.settings.knowledge[base.name].vector_weight
    modes: Sequence[Mode] = COMPARED if query.mode == "compare" else (query.mode,)
    reader = reader_of(principal_of(request))
    try:
        wanted = [wanted_of(query, mode, reader) for mode in modes]
        return compared([await try_one(base, each, own_weight) for each in wanted]), None
    except PenstockError as error:
        return (), error


def wanted_of(query: BenchQuery, mode: Mode, reader: Reader) -> Query:
    """Raises `InvalidRequest` for a filter, a weight or a generation that cannot be read."""
    return Query(
        text=query.q,
        reader=reader,
        limit=query.limit,
        generation=number_of("generation", query.generation, int),
        filter=filter_of(query.filter),
        mode=mode,
        rerank=False if query.rerank == "off" else None,
        vector_weight=number_of("share", query.weight, float),
    )


def number_of(name: str, text: str, kind: type[N]) -> N | None:
    try:
        return kind(text) if text.strip() else None
    except ValueError:
        raise InvalidRequest(
            f"The {name} {text[:40]!r} is no number.", hint="Leave it empty for the usual one."
        ) from None


def filter_of(text: str) -> Filter | None:
    if not text.strip():
        return None
    try:
        data = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise InvalidRequest(
            f"The filter {text[:60]!r} is no JSON.", hint='Write it as {"team": "hr", "year": {"gte": 2020}}.'
        ) from None
    return parse_filter(data)


async def try_one(base: KnowledgeBase, wanted: Query, own_weight: float) -> TriedSearch:
    begun = time.perf_counter()
    result = await base.search(wanted)
    took = time.perf_counter() - begun
    weight = own_weight if wanted.vector_weight is None else wanted.vector_weight
    return TriedSearch(
        mode=wanted.mode,
        label=MODES[wanted.mode],
        generation=result.generation,
        took_us=round(took * 1e6),
        hits=tuple(hit_lines(base.name, wanted, result.hits, weight)),
    )


def compared(tried: Sequence[TriedSearch]) -> tuple[TriedSearch, ...]:
    """The same, each passage with its rank in the others."""
    ranks = {each.mode: {hit.chunk_id: rank for rank, hit in enumerate(each.hits, 1)} for each in tried}
    if len(tried) == 1:
        return tuple(tried)
    return tuple(
        msgspec.structs.replace(
            each,
            hits=tuple(
                msgspec.structs.replace(
                    hit,
                    elsewhere=tuple(
                        (other.label, ranks[other.mode].get(hit.chunk_id)) for other in tried if other is not each
                    ),
                )
                for hit in each.hits
            ),
        )
        for each in tried
    )


def field_hints(rows: Sequence[DocumentRow]) -> tuple[FieldHint, ...]:
    """What documents can be filtered by: the fields that most of them have, with their most frequent values."""
    seen: dict[str, dict[str, int]] = {}
    for row in rows:
        for name, value in row.metadata.items():
            values = seen.setdefault(name, {})
            for each in value if isinstance(value, tuple) else (value,):
                shown = msgspec.json.encode(each).decode()
                values[shown] = values.get(shown, 0) + 1
    usual = sorted(seen.items(), key=lambda item: -sum(item[1].values()))[:MOST_FIELDS]
    return tuple(
        FieldHint(name, tuple(sorted(values, key=lambda value: -values[value])[:MOST_VALUES]))
        for name, values in usual
    )


def bench_address(head: KnowledgeHead, query: BenchQuery) -> str:
    return address_with(
        f"{head.address}/search",
        q=query.q,
        mode="" if query.mode == "hybrid" else query.mode,
        limit=None if query.limit == LIMITS[0] else query.limit,
        filter=query.filter,
        rerank=query.rerank,
        weight=query.weight,
        generation=query.generation,
    )


def routes() -> list[BaseRoute]:
    return [page_route("/knowledge/{name}/search", show)]
