"""Answers to /v1/responses, written: chunks to events of a stream, or to one body.

A chunk that carries the provider's own bytes (`raw`) is written as it came.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Raw, Struct

from penstock.errors import PenstockError
from penstock.exchange import Chunk, Exchange
from penstock.models.dialects.decoding import understood
from penstock.models.dialects.responses.assembly import ENCODER, Assembly, framed


class EventHead(Struct):
    type: str = ""
    sequence_number: int = -1


class ErrorEvent(Struct, kw_only=True):
    type: str = "error"
    code: str
    message: str
    param: str | None
    sequence_number: int


EVENT_HEAD = msgspec.json.Decoder(EventHead)


class ResponsesWriter:
    """Writes one answer: `event` for each chunk and `end` of a stream, or `whole` for all of them."""

    def __init__(self, exchange: Exchange, base_url: str) -> None:
        self._exchange = exchange
        self._base_url = base_url
        self._assembly = Assembly(exchange, base_url, events=True)
        self._forwarded: EventHead | None = None

    def event(self, chunk: Chunk) -> bytes:
        if chunk.raw is not None:
            head = self._forwarded = understood(EVENT_HEAD, chunk.raw) or EventHead()
            return framed(head.type.encode(), chunk.raw)
        if self._forwarded is not None:
            return b""
        self._assembly.take(chunk)
        return self._assembly.events()

    def end(self) -> bytes:
        if self._forwarded is not None:
            return b""
        self._assembly.finished()
        return self._assembly.events()

    def failed(self, error: PenstockError, body: bytes) -> bytes:
        """The provider's own last event, or one of ours that says the same."""
        own = understood(EVENT_HEAD, body)
        if own is not None and own.type:
            return framed(own.type.encode(), body)
        if self._forwarded is not None:
            number = self._forwarded.sequence_number + 1
            event = ErrorEvent(code=error.code, message=str(error), param=error.param, sequence_number=number)
            return framed(b"error", ENCODER.encode(event))
        self._assembly.failed(error)
        return self._assembly.events()

    def whole(self, chunks: Iterable[Chunk]) -> bytes:
        assembly = Assembly(self._exchange, self._base_url)
        for chunk in chunks:
            if chunk.raw is not None:
                return chunk.raw
            assembly.take(chunk)
        return ENCODER.encode(assembly.finished())


FIELDS = msgspec.json.Decoder(dict[str, Raw])
ITEMS = msgspec.json.Decoder(list[dict[str, Any]])


def with_addresses(body: bytes, base_url: str) -> bytes:
    """A response that was stored, with the addresses of its citations as the caller reaches them."""
    if b'"url":"/' not in body:
        return body
    fields = FIELDS.decode(body)
    items = ITEMS.decode(fields["output"])
    for item in items:
        for part in item.get("content") or ():
            for annotation in part.get("annotations") or ():
                if annotation.get("url", "").startswith("/"):
                    annotation["url"] = base_url + annotation["url"]
    return ENCODER.encode(fields | {"output": Raw(ENCODER.encode(items))})
