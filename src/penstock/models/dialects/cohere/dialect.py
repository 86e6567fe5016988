"""Cohere's own embeddings (`/v2/embed`), which tell what is looked for from what is found.

Its compatibility API, which the OpenAI dialect speaks, has no word for that.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from penstock.exchange import Chunk, Exchange, Usage
from penstock.models.dialects.base import Failure, Outgoing, Reading, unsupported
from penstock.models.dialects.decoding import understood
from penstock.models.dialects.openai.dialect import understood_failure

INPUT_TYPES = {"query": "search_query", "passage": "search_document"}
ENCODER = msgspec.json.Encoder()


class Typed(Struct):
    floats: list[list[float]] = msgspec.field(name="float")


class BilledUnits(Struct):
    input_tokens: float | None = None


class Meta(Struct):
    billed_units: BilledUnits | None = None


class EmbedWire(Struct):
    embeddings: Typed
    meta: Meta | None = None


WIRE = msgspec.json.Decoder(EmbedWire)


class CohereDialect:
    """Embeddings of one model of Cohere (`dialects.base.Dialect`)."""

    name = "cohere"

    def __init__(self, model: str) -> None:
        self._model = model

    def request(self, exchange: Exchange) -> Outgoing:
        if exchange.operation != "embed":
            raise unsupported(self._model, repr(exchange.operation))
        fields: dict[str, Any] = {
            "model": self._model,
            "texts": exchange.inputs,
            "input_type": INPUT_TYPES[exchange.options.get("kind", "passage")],
            "embedding_types": ["float"],
        }
        if (dimensions := exchange.options.get("dimensions")) is not None:
            fields["output_dimension"] = dimensions
        return Outgoing("/v2/embed", ENCODER.encode(fields))

    def reading(self, exchange: Exchange, content_type: str) -> Reading | None:
        return None

    def whole(self, exchange: Exchange, data: bytes, content_type: str) -> Chunk | None:
        wire = understood(WIRE, data)
        if wire is None:
            return None
        billed = wire.meta.billed_units if wire.meta else None
        tokens = billed.input_tokens if billed else None
        return Chunk(
            embeddings=tuple(np.asarray(vector, "<f4").tobytes() for vector in wire.embeddings.floats),
            usage=None if tokens is None else Usage(int(tokens)),
        )

    def failure(self, status: int, data: bytes) -> Failure:
        return understood_failure(status, data)
