"""/v1/vector_stores: the knowledge as OpenAI's clients search it. A store is a knowledge base, its id the name.

Stores are made by configuration and filled by ingestion, so there are only the routes that read.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from penstock.errors import InvalidRequest
from penstock.gateway.services import Services
from penstock.http.rewriting import reworded
from penstock.http.routes import ApiRoute, Description, principal_of, read_json, read_query, reply
from penstock.knowledge.base import DocumentRow, Hit, KnowledgeBase, Query, Reader
from penstock.knowledge.filters import Metadata, parse_filter
from penstock.knowledge.readers import reader_of
from penstock.knowledge.values import FINDABLE

MOST_RESULTS = 50
SECOND_US = 1_000_000

Question = Annotated[str, Meta(min_length=1, max_length=2000)]
Questions = Annotated[tuple[Question, ...], Meta(min_length=1, max_length=8)]
FileStatus = Literal["in_progress", "completed", "cancelled", "failed"]


class HybridWeights(Struct, frozen=True, kw_only=True):
    """How much each score counts, as OpenAI has it; only their relation does."""

    embedding_weight: Annotated[float, Meta(ge=0)]
    text_weight: Annotated[float, Meta(ge=0)]


class RankingOptions(Struct, frozen=True, kw_only=True):
    """`ranker` "none" does without the reranker of the knowledge; all others want it where there is one."""

    ranker: str | None = None
    score_threshold: Annotated[float, Meta(ge=0, le=1)] = 0.0
    hybrid_search: HybridWeights | None = None


class SearchBody(Struct, frozen=True, kw_only=True):
    """What OpenAI's `vector_stores.search` sends. Several queries are phrasings of one question."""

    query: Question | Questions
    filters: dict[str, Any] | None = None
    max_num_results: Annotated[int, Meta(ge=1, le=MOST_RESULTS)] = 10
    ranking_options: RankingOptions | None = None
    rewrite_query: bool = False


class Content(Struct, frozen=True):
    text: str
    type: Literal["text"] = "text"


class Result(Struct, frozen=True, kw_only=True):
    """A passage. `attributes` are the metadata of its document; lists are joined with commas."""

    file_id: str
    filename: str
    score: float
    attributes: dict[str, str | float | bool]
    content: tuple[Content, ...]


class SearchPage(Struct, frozen=True, kw_only=True):
    search_query: tuple[str, ...]
    data: tuple[Result, ...]
    has_more: bool = False
    next_page: str | None = None
    object: Literal["vector_store.search_results.page"] = "vector_store.search_results.page"


class FileCounts(Struct, frozen=True, kw_only=True):
    completed: int
    failed: int
    total: int
    in_progress: int = 0
    cancelled: int = 0


class VectorStoreWire(Struct, frozen=True, kw_only=True):
    """A knowledge base, as far as the one who asks may see into it. Times are seconds since 1970."""

    id: str
    name: str
    created_at: int
    last_active_at: int | None
    usage_bytes: int
    file_counts: FileCounts
    status: Literal["completed", "in_progress"]
    metadata: dict[str, str]
    expires_at: None = None
    object: Literal["vector_store"] = "vector_store"


class StoreList(Struct, frozen=True, kw_only=True):
    data: tuple[VectorStoreWire, ...]
    first_id: str | None
    last_id: str | None
    has_more: bool = False
    object: Literal["list"] = "list"


class LastError(Struct, frozen=True):
    message: str
    code: Literal["server_error", "unsupported_file", "invalid_file"] = "invalid_file"


class FileWire(Struct, frozen=True, kw_only=True):
    """A document. One of which nothing can be found is failed, and says why."""

    id: str
    created_at: int
    vector_store_id: str
    usage_bytes: int
    status: FileStatus
    last_error: LastError | None
    attributes: dict[str, str | float | bool]
    object: Literal["vector_store.file"] = "vector_store.file"


class FileQuery(Struct, frozen=True, kw_only=True):
    """A page of documents by path; `after` is the id of the last one of the page before."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    after: str = ""
    order: Literal["asc", "desc"] = "desc"
    filter: FileStatus | None = None


class FileList(Struct, frozen=True, kw_only=True):
    data: tuple[FileWire, ...]
    first_id: str | None
    last_id: str | None
    has_more: bool
    object: Literal["list"] = "list"


async def list_stores(request: Request) -> Response:
    services: Services = request.app.state.services
    principal = principal_of(request)
    bases, reader = services.readable(principal).values(), reader_of(principal)
    stores = await asyncio.to_thread(lambda: tuple(store_wire(base, reader) for base in bases))
    first, last = (stores[0].id, stores[-1].id) if stores else (None, None)
    return reply(StoreList(data=stores, first_id=first, last_id=last))


async def get_store(request: Request) -> Response:
    reader = reader_of(principal_of(request))
    return reply(await asyncio.to_thread(store_wire, base_of(request), reader))


async def search(request: Request) -> Response:
    base = base_of(request)
    body = await read_json(request, SearchBody)
    query = query_of(body, reader_of(principal_of(request)))
    if body.rewrite_query:
        query = await reworded(request, query, "rewrite_query")
    result = await base.search(query)
    return reply(
        SearchPage(search_query=(query.text, *query.queries), data=tuple(result_wire(hit) for hit in result.hits))
    )


async def list_files(request: Request) -> Response:
    base, reader = base_of(request), reader_of(principal_of(request))
    return reply(await asyncio.to_thread(files_of, base, reader, read_query(request, FileQuery)))


def files_of(base: KnowledgeBase, reader: Reader, query: FileQuery) -> FileList:
    """One page. Raises `InvalidRequest` where there is no such document to go on after."""
    rows = [row for row in base.documents(reader) if query.filter in (None, file_status(row))]
    if query.order == "desc":
        rows.reverse()
    start = 0
    if query.after:
        ids = [row.id for row in rows]
        if query.after not in ids:
            raise InvalidRequest(
                f"There is no file {query.after[:80]!r} in the list.",
                hint='Leave "after" out, to begin with the first one.',
                param="after",
            )
        start = ids.index(query.after) + 1
    shown = tuple(file_wire(base, row) for row in rows[start : start + query.limit])
    first, last = (shown[0].id, shown[-1].id) if shown else (None, None)
    return FileList(data=shown, first_id=first, last_id=last, has_more=start + query.limit < len(rows))


def base_of(request: Request) -> KnowledgeBase:
    """Raises `NotFound` that says which there are."""
    services: Services = request.app.state.services
    return services.knowledge_of(principal_of(request), request.path_params["store_id"])


def query_of(body: SearchBody, reader: Reader) -> Query:
    """Raises `InvalidRequest` for a filter that cannot be read."""
    options = body.ranking_options or RankingOptions()
    texts = (body.query,) if isinstance(body.query, str) else body.query
    return Query(
        text=texts[0],
        queries=texts[1:],
        reader=reader,
        limit=body.max_num_results,
        filter=None if body.filters is None else parse_filter(body.filters, "filters"),
        rerank=False if options.ranker == "none" else None,
        vector_weight=weight_of(options.hybrid_search),
        min_score=options.score_threshold,
    )


def weight_of(weights: HybridWeights | None) -> float | None:
    """The share of the vectors. Raises `InvalidRequest` where nothing counts."""
    if weights is None:
        return None
    total = weights.embedding_weight + weights.text_weight
    if total <= 0:
        raise InvalidRequest(
            "embedding_weight and text_weight are both 0.", hint="Set one above 0.", param="ranking_options"
        )
    return weights.embedding_weight / total


def result_wire(hit: Hit) -> Result:
    return Result(
        file_id=hit.document_id,
        filename=hit.document,
        score=hit.score,
        attributes=attributes_of(hit.metadata),
        content=(Content(hit.text),),
    )


def store_wire(base: KnowledgeBase, reader: Reader) -> VectorStoreWire:
    counts = base.counts(reader)
    found = sum(count for status, count in counts.statuses.items() if status in FINDABLE)
    return VectorStoreWire(
        id=base.name,
        name=base.name,
        created_at=counts.first_loaded_at // SECOND_US,
        last_active_at=counts.last_loaded_at // SECOND_US or None,
        usage_bytes=counts.bytes,
        file_counts=FileCounts(completed=found, failed=counts.documents - found, total=counts.documents),
        status="completed" if counts.generation else "in_progress",
        metadata={"generation": str(counts.generation)},
    )


def file_wire(base: KnowledgeBase, row: DocumentRow) -> FileWire:
    status = file_status(row)
    return FileWire(
        id=row.id,
        created_at=row.loaded_at // SECOND_US,
        vector_store_id=base.name,
        usage_bytes=row.size,
        status=status,
        last_error=LastError(f"{row.status}: {row.reason}") if status == "failed" else None,
        attributes=attributes_of(row.metadata) | {"path": row.path},
    )


def file_status(row: DocumentRow) -> FileStatus:
    return "completed" if row.status in FINDABLE else "failed"


def attributes_of(metadata: Metadata) -> dict[str, str | float | bool]:
    return {name: ", ".join(value) if isinstance(value, tuple) else value for name, value in metadata.items()}


ONE = "/v1/vector_stores/{store_id}"
ROUTES = [
    ApiRoute(
        "GET",
        "/v1/vector_stores",
        list_stores,
        Description(role="developer", summary="Lists the knowledge bases as vector stores.", answer=StoreList),
    ),
    ApiRoute(
        "GET",
        ONE,
        get_store,
        Description(role="developer", summary="One knowledge base as a vector store.", answer=VectorStoreWire),
    ),
    ApiRoute(
        "POST",
        ONE + "/search",
        search,
        Description(
            role="developer",
            summary="Finds passages, as OpenAI's clients ask.",
            body=SearchBody,
            example={"query": "returns", "max_num_results": 5},
            answer=SearchPage,
        ),
    ),
    ApiRoute(
        "GET",
        ONE + "/files",
        list_files,
        Description(
            role="developer", summary="The documents of a knowledge base.", query=FileQuery, answer=FileList
        ),
    ),
]
