"""/api/v1/knowledge: what a knowledge base holds, and files dropped in and taken out."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from penstock.access.principal import require_local
from penstock.access.routes import JSON_TYPE
from penstock.audit.record import Event
from penstock.errors import InvalidRequest
from penstock.gateway.services import Services
from penstock.http import examples
from penstock.http.acting import record
from penstock.http.api.documents_push import PushAnswer, PushRequest, push_documents
from penstock.http.routes import LARGEST, ApiRoute, Description, principal_of, read_query, reply
from penstock.knowledge.base import (
    DocumentRow,
    Heading,
    IndexStats,
    KnowledgeBase,
    KnowledgeCounts,
    Status,
)
from penstock.knowledge.inspection import DocumentPassage
from penstock.knowledge.readers import reader_of

MAX_LIMIT = 500
MAX_TEXT = 1_000_000


class KnowledgeItem(Struct, frozen=True, kw_only=True):
    """One knowledge base and what its published generation holds. `index` says how its vectors are searched, where
    they are in memory, to who may find every document."""

    name: str
    counts: KnowledgeCounts
    index: IndexStats | None = None


class KnowledgeList(Struct, frozen=True, kw_only=True):
    object: Literal["list"] = "list"
    data: tuple[KnowledgeItem, ...]


class DocumentQuery(Struct, frozen=True, kw_only=True):
    """Which documents to list, by path. `q` is a part of the path or title, in any case."""

    q: str = ""
    status: Status | None = None
    offset: Annotated[int, Meta(ge=0, le=LARGEST)] = 0
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] = 50


class DocumentList(Struct, frozen=True, kw_only=True):
    """Documents `offset` to `offset + limit` of the `total` that match."""

    object: Literal["list"] = "list"
    data: tuple[DocumentRow, ...]
    total: int
    generation: int


class TextQuery(Struct, frozen=True, kw_only=True):
    """Which characters of the text to give; by default its first million."""

    start: Annotated[int, Meta(ge=0)] = 0
    end: Annotated[int, Meta(ge=0)] | None = None


class DocumentText(Struct, frozen=True, kw_only=True):
    """A document; `text` are its characters `start` to `end`. Headings and page starts are ranges of the whole."""

    document: DocumentRow
    start: int
    end: int
    text: str
    headings: tuple[Heading, ...]
    page_starts: tuple[int, ...]


class PassageList(Struct, frozen=True, kw_only=True):
    """How a document was cut: ranges of its text, in order."""

    object: Literal["list"] = "list"
    data: tuple[DocumentPassage, ...]


class UploadQuery(Struct, frozen=True, kw_only=True):
    """`name` is what a file is called; the end of it says what kind of file it is. Documents in JSON have none."""

    name: Annotated[str, Meta(max_length=1000)] = ""


class Removed(Struct, frozen=True, kw_only=True):
    id: str
    removed: bool = True


async def list_knowledge(request: Request) -> Response:
    services: Services = request.app.state.services
    principal = principal_of(request)
    readable, reader = services.readable(principal), reader_of(principal)
    items = await asyncio.to_thread(
        lambda: tuple(
            KnowledgeItem(name=name, counts=base.counts(reader), index=base.index(reader))
            for name, base in readable.items()
        )
    )
    return reply(KnowledgeList(data=items))


async def list_documents(request: Request) -> Response:
    base = base_of(request)
    query = read_query(request, DocumentQuery)
    rows = await asyncio.to_thread(base.documents, reader_of(principal_of(request)))
    wanted = query.q.casefold()
    matching = [
        row
        for row in rows
        if query.status in (None, row.status) and (wanted in row.path.casefold() or wanted in row.title.casefold())
    ]
    shown = tuple(matching[query.offset : query.offset + query.limit])
    generation = await asyncio.to_thread(base.generation)
    return reply(DocumentList(data=shown, total=len(matching), generation=generation))


async def get_document(request: Request) -> Response:
    base = base_of(request)
    query = read_query(request, TextQuery)
    reader = reader_of(principal_of(request))
    document = await asyncio.to_thread(base.document, request.path_params["document_id"], reader)
    length = len(document.text)
    end = min(length, query.start + MAX_TEXT, length if query.end is None else query.end)
    if not query.start <= end:
        raise InvalidRequest(
            f"The document has no characters {query.start} to {end}.",
            hint=f"It has {length:,}; ask for a range of them.",
            param="start",
        )
    return reply(
        DocumentText(
            document=document.row,
            start=query.start,
            end=end,
            text=document.text[query.start : end],
            headings=document.headings,
            page_starts=document.page_starts,
        )
    )


async def list_passages(request: Request) -> Response:
    base = base_of(request)
    reader, document_id = reader_of(principal_of(request)), request.path_params["document_id"]
    await asyncio.to_thread(base.document, document_id, reader)  # one that is not there is no empty list
    return reply(PassageList(data=tuple(await asyncio.to_thread(base.inspection.passages, document_id, reader))))


async def add_document(request: Request) -> Response:
    """The body is a file, or documents in JSON: types that no page of another origin can send without asking."""
    base = own_base_of(request)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == JSON_TYPE:
        return await push_documents(request, base)
    query = read_query(request, UploadQuery)
    if not query.name:
        raise InvalidRequest(
            "The file needs a name.", hint="Send it as ?name=…, its ending included.", param="name"
        )
    body = await request.body()
    await record(request, Event(action="document.added", target=query.name, after={"knowledge": base.name}))
    return reply(await base.add_file(query.name, body), 201)


async def remove_document(request: Request) -> Response:
    base = own_base_of(request)
    document_id = request.path_params["document_id"]
    await record(request, Event(action="document.removed", target=document_id, after={"knowledge": base.name}))
    await base.remove_document(document_id)
    return reply(Removed(id=document_id))


def base_of(request: Request) -> KnowledgeBase:
    """The knowledge that the path names. Raises `NotFound`."""
    services: Services = request.app.state.services
    return services.knowledge_of(principal_of(request), request.path_params["name"])


def own_base_of(request: Request) -> KnowledgeBase:
    """As `base_of`, for who changes it: an app that is open to other projects is theirs to read only."""
    base = base_of(request)
    require_local(principal_of(request), f"Changing knowledge {base.name!r}")
    return base


ONE = "/api/v1/knowledge/{name}"
ROUTES = [
    ApiRoute(
        "GET",
        "/api/v1/knowledge",
        list_knowledge,
        Description(role="viewer", summary="Lists the knowledge bases with what they hold.", answer=KnowledgeList),
    ),
    ApiRoute(
        "GET",
        ONE + "/documents",
        list_documents,
        Description(
            role="viewer",
            summary="Lists documents with their status, by path.",
            query=DocumentQuery,
            answer=DocumentList,
        ),
    ),
    ApiRoute(
        "POST",
        ONE + "/documents",
        add_document,
        Description(
            role="admin",
            summary="Takes in a file, or documents sent as JSON.",
            status=201,
            query=UploadQuery,
            body=PushRequest,
            example=examples.PUSH,
            answer=DocumentRow,
            other_answer=PushAnswer,
            upload=True,
        ),
    ),
    ApiRoute(
        "GET",
        ONE + "/documents/{document_id}",
        get_document,
        Description(role="viewer", summary="One document with its text.", query=TextQuery, answer=DocumentText),
    ),
    ApiRoute(
        "GET",
        ONE + "/documents/{document_id}/passages",
        list_passages,
        Description(role="viewer", summary="How a document was cut into passages.", answer=PassageList),
    ),
    ApiRoute(
        "DELETE",
        ONE + "/documents/{document_id}",
        remove_document,
        Description(role="admin", summary="Deletes a document that was dropped in or pushed.", answer=Removed),
    ),
]
