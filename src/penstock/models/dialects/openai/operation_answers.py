"""Answers to the operations beside text: what usage and text their bytes hold, and the bytes of a reranking.

Answers are forwarded as they came, whatever their media type. Events are forwarded whole, so that a stream that
breaks can still be given a last event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
from msgspec import UNSET, Struct, UnsetType

from penstock.errors import PenstockError
from penstock.exchange import Chunk, Exchange, Usage
from penstock.models.dialects.base import Failure, StreamFailed
from penstock.models.dialects.decoding import understood
from penstock.models.dialects.openai.answers import ENCODER, framed
from penstock.models.dialects.openai.upstream import error_message, is_error, is_object

EVENT_STREAM = "text/event-stream"
MAX_EVENT = 64 << 20
"""Bytes of one event: a finished picture, in base64."""


class InputDetails(Struct):
    cached_tokens: int | None = None


class UsageWire(Struct):
    """Images and speech count tokens, transcriptions tokens or `seconds`; rerankers have totals of tokens only."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    input_tokens_details: InputDetails | None = None
    seconds: float | None = None


class BilledUnits(Struct):
    search_units: float | None = None


class RerankTokens(Struct):
    input_tokens: float | None = None
    output_tokens: float | None = None


class RerankMeta(Struct):
    billed_units: BilledUnits | None = None
    tokens: RerankTokens | None = None


class Ranked(Struct):
    index: int
    relevance_score: float


class AnswerWire(Struct):
    usage: UsageWire | None = None
    text: str | None = None
    meta: RerankMeta | None = None


class RankingWire(Struct):
    """Most call the list `results`, Voyage `data`."""

    results: list[Ranked] | None = None
    data: list[Ranked] | None = None

    @property
    def ranked(self) -> list[Ranked]:
        return self.results or self.data or []


ANSWER = msgspec.json.Decoder(AnswerWire)
RANKING = msgspec.json.Decoder(RankingWire)


def read_answer(data: bytes, exchange: Exchange, content_type: str) -> Chunk | None:
    """A whole answer; `None` for what is none. A transcription may be plain text, everything else is JSON."""
    if content_type != "application/json" and exchange.operation in ("transcribe", "translate"):
        return Chunk(text=data.decode("utf-8", "replace"), raw=data, media_type=content_type or "text/plain")
    wire = understood(ANSWER, data)
    if wire is None:
        return Chunk(raw=data) if is_object(data) else None
    ranking: tuple[tuple[int, float], ...] = ()
    if exchange.operation == "rerank" and (found := understood(RANKING, data)) is not None:
        ranking = tuple((each.index, each.relevance_score) for each in found.ranked)
    return Chunk(text=wire.text or "", usage=usage_of(wire), ranking=ranking, raw=data)


def usage_of(wire: AnswerWire) -> Usage | None:
    """What was used, in tokens or in what the vendor bills instead; `None` where the answer does not say."""
    usage, meta = wire.usage, wire.meta
    searches = meta.billed_units.search_units if meta and meta.billed_units else None
    tokens = meta.tokens if meta else None
    if usage is None:
        if searches is None and tokens is None:
            return None
        counted = (tokens.input_tokens or 0, tokens.output_tokens or 0) if tokens else (0, 0)
        return Usage(int(counted[0]), int(counted[1]), searches=searches)
    output = usage.output_tokens or usage.completion_tokens or 0
    given = usage.input_tokens if usage.input_tokens is not None else usage.prompt_tokens
    if given is None and usage.total_tokens is not None:
        given = usage.total_tokens - output
    if given is None and usage.seconds is None:
        return None
    cached = usage.input_tokens_details.cached_tokens if usage.input_tokens_details else None
    return Usage(
        input=max(0, (given or 0) - (cached or 0)),
        output=output,
        cached_input=cached,
        seconds=usage.seconds,
        searches=searches,
    )


class EventCutter:
    """Cuts a byte stream behind its complete events."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._tail = b""

    def feed(self, received: bytes) -> bytes:
        """The events that are complete now, as they came. Raises `OverflowError` for one over `MAX_EVENT` bytes."""
        seen = self._tail + received
        end = max(after(seen, b"\n\n"), after(seen, b"\r\n\r\n")) - len(self._tail)
        if end <= 0:
            self._keep(received)
            return b""
        complete = b"".join((*self._pieces, received[:end]))
        self._pieces.clear()
        self._size = 0
        self._tail = b""
        self._keep(received[end:])
        return complete

    @property
    def is_clear(self) -> bool:
        """Whether nothing came behind the last complete event."""
        return not self._size

    def _keep(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)
        self._tail = (self._tail + piece)[-3:]
        if self._size > MAX_EVENT:
            raise OverflowError(f"an event of more than {MAX_EVENT} bytes")


def after(data: bytes, mark: bytes) -> int:
    """The place behind the last `mark`, 0 where there is none."""
    found = data.rfind(mark)
    return found + len(mark) if found >= 0 else 0


class PassedReading:
    """Reads a stream that is forwarded as it comes: events, or the bytes of a sound (`dialects.base.Reading`)."""

    def __init__(self, content_type: str) -> None:
        self._media_type: str | None = content_type
        self._cutter = EventCutter() if content_type == EVENT_STREAM else None
        self.complete = True
        self.ended = False

    def feed(self, received: bytes) -> Iterator[Chunk]:
        came = received
        if self._cutter is not None:
            came = self._cutter.feed(received)
            self.complete = self._cutter.is_clear
        if not came:
            return
        usage, text = None, ""
        if self._cutter is not None and (b'"usage"' in came or b'"error"' in came):
            usage, text = noted(came)
        yield Chunk(text=text, usage=usage, raw=came, media_type=self._media_type)
        self._media_type = None


def noted(events: bytes) -> tuple[Usage | None, str]:
    """The usage and the text that the last of some events says. Raises `StreamFailed` for one that is an error."""
    usage, text = None, ""
    for data in data_of(events):
        if b'"usage"' in data and (wire := understood(ANSWER, data)) is not None:
            usage, text = usage_of(wire) or usage, wire.text or text
        elif b'"error"' in data and is_error(data):
            raise StreamFailed(data, Failure(kind="server_error", message=error_message(data), forward=True))
    return usage, text


def data_of(events: bytes) -> Iterator[bytes]:
    for line in events.splitlines():
        if line.startswith(b"data:"):
            yield line[5:].strip()


class PassedWriter:
    """Writes what a provider answered as it came."""

    def __init__(self) -> None:
        self._events = False

    def event(self, chunk: Chunk) -> bytes:
        if chunk.media_type is not None:
            self._events = chunk.media_type.startswith(EVENT_STREAM)
        return chunk.raw or b""

    def end(self) -> bytes:
        return b""

    def failed(self, error: PenstockError, body: bytes) -> bytes:
        """An event of its own, where the answer is made of events; a sound is cut off."""
        return framed(body) if self._events else b""

    def whole(self, chunks: Iterable[Chunk]) -> bytes:
        for chunk in chunks:
            if chunk.raw is not None:
                return chunk.raw
        raise PenstockError("The model gave no answer that can be shown here.", hint="Try another model.")


class ResultWire(Struct, omit_defaults=True):
    index: int
    relevance_score: float
    document: dict[str, str] | UnsetType = UNSET


class RerankedWire(Struct):
    id: str
    model: str
    results: list[ResultWire]
    usage: dict[str, int]
    object: str = "list"


class RerankWriter(PassedWriter):
    """Writes a ranking that was made on this machine; one from elsewhere as it came."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        self._exchange = exchange

    def whole(self, chunks: Iterable[Chunk]) -> bytes:
        chunks = list(chunks)
        ranking = [each for chunk in chunks for each in chunk.ranking]
        if not ranking or any(chunk.raw is not None for chunk in chunks):
            return super().whole(chunks)
        exchange = self._exchange
        results = [ResultWire(index, score) for index, score in ranking]
        if exchange.options.get("return_documents"):
            for each in results:
                each.document = {"text": exchange.inputs[each.index]}
        tokens = sum(chunk.usage.prompt_tokens for chunk in chunks if chunk.usage)
        wire = RerankedWire(f"rerank-{exchange.trace_id}", exchange.model, results, {"total_tokens": tokens})
        return ENCODER.encode(wire)
