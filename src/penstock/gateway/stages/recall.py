"""What was said before in a conversation that the caller names by its last response, and keeping this one."""

from __future__ import annotations

from collections.abc import Awaitable

import msgspec
from msgspec import Raw, Struct

from penstock.errors import InvalidRequest, NotFound
from penstock.exchange import Chunk, Exchange
from penstock.gateway.flight import Chunks, Flight, Place, Stage
from penstock.gateway.responses.repository import StoredResponse
from penstock.gateway.responses.store import ResponseStore
from penstock.models.dialects.decoding import understood
from penstock.models.dialects.responses.assembly import ENCODER, Assembly
from penstock.models.dialects.responses.items import Item
from penstock.models.dialects.responses.requests import OPTION, Past, asked, unkept, with_past


class PreviousNotFound(InvalidRequest):
    """OpenAI's own code for it, which clients look for."""

    code = "previous_response_not_found"


class Own(Struct):
    """A response of a provider of this API. `store` is whether it keeps it itself."""

    id: str = ""
    store: bool | None = None


class Event(Struct):
    response: Raw = Raw()


class Output(Struct):
    output: list[Item] = []


OWN = msgspec.json.Decoder(Own)
EVENT = msgspec.json.Decoder(Event)
OUTPUT = msgspec.json.Decoder(Output)
ITEMS = msgspec.json.Decoder(list[Item])


class Recall(Stage):
    """Puts the conversation before a request to /v1/responses into it, and keeps the response that it gets.

    Without a `store` none is kept.
    """

    runs_at: Place = "root"

    def __init__(self, store: ResponseStore | None) -> None:
        self._store = store

    def inbound(self, flight: Flight) -> Awaitable[None] | None:
        """Raises `InvalidRequest` for a response that is not kept, or is another project's."""
        return self._recall(flight) if OPTION in flight.exchange.options else None

    async def _recall(self, flight: Flight) -> None:
        exchange = flight.exchange
        previous = asked(exchange).previous
        if self._store is None:
            if previous is not None:
                raise PreviousNotFound(
                    "This server keeps no responses.",
                    hint="Send the conversation in 'input', or set store = true under [responses].",
                    param="previous_response_id",
                )
            flight.exchange = unkept(exchange)
        elif previous is not None:
            flight.exchange = with_past(exchange, await self._past(self._store, exchange.project_id, previous))

    def outbound(self, flight: Flight, chunks: Chunks) -> Chunks:
        exchange = flight.exchange
        if self._store is not None and OPTION in exchange.options and asked(exchange).store:
            return self._kept(self._store, exchange, chunks)
        return chunks

    async def _past(self, store: ResponseStore, project_id: str, previous: str) -> Past:
        try:
            turns = await store.chain(project_id, previous)
        except NotFound as error:
            raise PreviousNotFound(error.message, hint=error.hint, param="previous_response_id") from None
        items: list[Item] = []
        for turn in turns:
            items += ITEMS.decode(turn.input)
            items += OUTPUT.decode(turn.body).output
        return Past(tuple(items), turns[-1].provider)

    async def _kept(self, store: ResponseStore, exchange: Exchange, chunks: Chunks) -> Chunks:
        """The answer is on disk before its end is told, so that it can be named at once."""
        assembly = Assembly(exchange)
        forwarded = False
        async for chunk in chunks:
            if chunk.raw is None:
                assembly.take(chunk)
            else:
                forwarded = True
                if chunk.finish_reason is not None and (own := own_response(chunk)) is not None:
                    await store.put(record(exchange, own, store.clock.now_us()))
            yield chunk
        if not forwarded:
            response = assembly.finished()
            kept = Kept(response.id, ENCODER.encode(response), "")
            await store.put(record(exchange, kept, store.clock.now_us()))


class Kept(Struct, frozen=True):
    """A response to be kept, and which provider keeps it, too."""

    id: str
    body: bytes
    provider: str


def own_response(chunk: Chunk) -> Kept | None:
    """A response as its provider gave it: a whole body, or in the last event of a stream."""
    assert chunk.raw is not None
    event = understood(EVENT, chunk.raw)
    body = (bytes(event.response) if event is not None else b"") or chunk.raw
    own = understood(OWN, body)
    if own is None or not own.id:
        return None
    return Kept(own.id, body, (chunk.served_by or "") if own.store else "")


def record(exchange: Exchange, kept: Kept, now_us: int) -> StoredResponse:
    what = asked(exchange)
    return StoredResponse(
        project_id=exchange.project_id,
        id=kept.id,
        previous_id=what.previous,
        provider=kept.provider,
        created_us=now_us,
        input=ENCODER.encode(what.items),
        body=kept.body,
    )
