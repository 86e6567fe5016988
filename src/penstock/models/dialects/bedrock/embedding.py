"""Embeddings of Bedrock, which each family of models takes in its own shape (InvokeModel)."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from msgspec import Raw, Struct

from penstock.exchange import Chunk, Exchange, Usage
from penstock.models.dialects.base import unsupported
from penstock.models.dialects.cohere.dialect import INPUT_TYPES
from penstock.models.dialects.decoding import understood

ENCODER = msgspec.json.Encoder()
VECTORS = msgspec.json.Decoder(list[list[float]])


class Typed(Struct):
    floats: list[list[float]] = msgspec.field(name="float")


class EmbeddingWire(Struct, rename="camel"):
    """Titan's `embedding`, or Cohere's `embeddings`: a list, or an object with a list for each type."""

    embedding: list[float] | None = None
    embeddings: Raw = Raw()
    input_text_token_count: int | None = None


WIRE = msgspec.json.Decoder(EmbeddingWire)
TYPED = msgspec.json.Decoder(Typed)


def written_embed(exchange: Exchange, model: str) -> bytes:
    """The body of InvokeModel. Raises `UnsupportedFeature` for models of other families."""
    dimensions = exchange.options.get("dimensions")
    fields: dict[str, Any]
    if "amazon.titan-embed" in model:
        if len(exchange.inputs) != 1:
            raise unsupported(model, f"{len(exchange.inputs)} embeddings at once", "Send one text.", "input")
        fields = {"inputText": exchange.inputs[0]}
        if dimensions is not None:
            fields["dimensions"] = dimensions
    elif "cohere.embed" in model:
        purpose = INPUT_TYPES[exchange.options.get("kind", "passage")]
        fields = {"texts": exchange.inputs, "input_type": purpose, "embedding_types": ["float"]}
        if dimensions is not None:
            fields["output_dimension"] = dimensions
    else:
        raise unsupported(model, "embeddings", "On Bedrock, those of Titan and Cohere are known.", "model")
    return ENCODER.encode(fields)


def read_embed(data: bytes) -> Chunk | None:
    wire = understood(WIRE, data)
    if wire is None:
        return None
    vectors: list[list[float]] | None
    if wire.embedding is not None:
        vectors = [wire.embedding]
    else:
        typed = understood(TYPED, bytes(wire.embeddings))
        vectors = typed.floats if typed else understood(VECTORS, bytes(wire.embeddings))
    if vectors is None:
        return None
    tokens = wire.input_text_token_count
    return Chunk(
        embeddings=tuple(np.asarray(vector, "<f4").tobytes() for vector in vectors),
        usage=None if tokens is None else Usage(tokens),
    )
