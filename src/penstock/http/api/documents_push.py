"""POST /api/v1/knowledge/{name}/documents with JSON: documents that are nowhere but with who sends them."""

from __future__ import annotations

import base64
import binascii
from pathlib import PurePosixPath
from typing import Annotated, Literal

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from penstock.audit.record import Event
from penstock.errors import InvalidRequest
from penstock.http.acting import record
from penstock.http.routes import read_json, reply
from penstock.knowledge.base import DocumentRow, KnowledgeBase
from penstock.knowledge.filters import Metadata
from penstock.knowledge.loaders.kinds import Kind, kind_of
from penstock.knowledge.sources.pushed import MOST_AT_ONCE, PushedDocument

SHOWN = 20
"""Keys that a record of what was done names."""


class SentDocument(Struct, frozen=True, kw_only=True):
    """One document: its `text`, or its bytes in base64 as `data`.

    `key` tells documents apart, and sending another one of a key takes its place; `path` is the same by another
    name. `kind` is needed where the key's ending does not say what it is. `readers` are tags such as `group:hr` of
    those who may find it, none for everybody who may read the knowledge. `url` is where people open it.
    """

    key: str = ""
    path: str = ""
    text: str | None = None
    data: str | None = None
    kind: Kind | None = None
    title: str = ""
    url: str = ""
    metadata: Metadata = {}
    readers: tuple[str, ...] = ()


class PushRequest(Struct, frozen=True, kw_only=True):
    """Documents to take in, all of them or none."""

    documents: Annotated[tuple[SentDocument, ...], Meta(min_length=1, max_length=MOST_AT_ONCE)]


class PushAnswer(Struct, frozen=True, kw_only=True):
    """A row for each document, in their order, with the status that its reading ended in."""

    object: Literal["list"] = "list"
    data: tuple[DocumentRow, ...]
    generation: int


async def push_documents(request: Request, base: KnowledgeBase) -> Response:
    sent = await read_json(request, PushRequest)
    documents = [pushed(document, f"documents[{number}]") for number, document in enumerate(sent.documents)]
    keys = [document.key for document in documents]
    after = {"knowledge": base.name, "count": len(keys), "keys": keys[:SHOWN]}
    await record(request, Event(action="documents.pushed", target=base.name, after=after))
    rows = await base.push(documents)
    return reply(PushAnswer(data=tuple(rows), generation=base.generation()), 201)


def pushed(sent: SentDocument, place: str) -> PushedDocument:
    """Raises `InvalidRequest` where its key or its content is missing, or there twice."""
    if bool(sent.key) == bool(sent.path):
        raise InvalidRequest(
            f"{place} needs either a key or a path.", hint="Send one, such as 'hr/leave.md'.", param=f"{place}.key"
        )
    if (sent.text is None) == (sent.data is None):
        raise InvalidRequest(
            f"{place} needs either text or data.",
            hint="Send its text, or its bytes in base64 as data.",
            param=f"{place}.text",
        )
    key = sent.key or sent.path
    return PushedDocument(
        key=key,
        data=sent.text.encode() if sent.text is not None else decoded(sent.data or "", f"{place}.data"),
        kind=sent.kind if sent.kind or sent.text is None else kind_of_text(key),
        title=sent.title,
        url=sent.url,
        metadata=sent.metadata,
        readers=sent.readers,
    )


def kind_of_text(key: str) -> Kind:
    """What a text is whose kind was not sent: what its key says, else plain text."""
    return kind_of(PurePosixPath(key).name) or "text"


def decoded(data: str, place: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest(
            f"{place} is not base64.", hint="Send text as text, and bytes in base64.", param=place
        ) from None
