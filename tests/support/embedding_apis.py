"""APIs of embeddings and rerankings in the shapes of their vendors, with the rules that each of them has."""

from __future__ import annotations

import base64
from collections.abc import Callable

import msgspec
import numpy as np

from penstock.testing import Received, Reply

WIDTH = 16

Embed = Callable[[str], np.ndarray]


def directions(text: str) -> np.ndarray:
    """A vector of no particular length, the same for the same text."""
    seed = int.from_bytes(text.encode()[:64].ljust(8, b"\0"), "little")
    return np.random.default_rng([seed, len(text)]).standard_normal(WIDTH).astype("<f4") * 3


def reply(fields: object, status: int = 200, **headers: str) -> Reply:
    return Reply(
        body=msgspec.json.encode(fields), status=status, headers={"content-type": "application/json"} | headers
    )


def refused(message: str, status: int = 400) -> Reply:
    return reply({"error": {"message": message, "type": "invalid_request_error"}}, status)


def data_of(texts: list[str], *, encoded: bool) -> list[dict[str, object]]:
    rows = [directions(text) for text in texts]
    return [
        {
            "object": "embedding",
            "index": at,
            "embedding": base64.b64encode(row.tobytes()).decode() if encoded else row.tolist(),
        }
        for at, row in enumerate(rows)
    ]


def openai(received: Received) -> Reply:
    said = received.json
    texts = said["input"]
    if not received.path.endswith("/embeddings") or "input_type" in said:
        return refused("no such thing", 404)
    if not all(texts) or len(texts) > 2048:
        return refused("'$.input' is invalid.")
    if any(len(text) > 30_000 for text in texts):
        return refused("This model's maximum context length is 8192 tokens, however you requested more.")
    encoded = said.get("encoding_format") == "base64"
    tokens = sum(len(text.split()) for text in texts)
    return reply(
        {
            "object": "list",
            "data": data_of(texts, encoded=encoded),
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )


def cohere(received: Received) -> Reply:
    said = received.json
    texts = said["texts"]
    if received.path != "/v2/embed" or said["input_type"] not in ("search_query", "search_document"):
        return reply({"message": "invalid request: valid input_type must be provided"}, 400)
    if len(texts) > 96 or not all(text.strip() for text in texts):
        return reply({"message": "invalid request: total number of texts must be at most 96 and none empty"}, 400)
    rows = [directions(said["input_type"] + text).tolist() for text in texts]
    return reply(
        {
            "id": "1",
            "embeddings": {"float": rows},
            "texts": texts,
            "meta": {"billed_units": {"input_tokens": len(texts)}},
        }
    )


def voyage(received: Received) -> Reply:
    said = received.json
    texts = said["input"]
    if said.get("input_type") not in ("query", "document"):
        return reply({"detail": "input_type is wanted"}, 400)
    rows = [said["input_type"] + text for text in texts]
    return reply({"object": "list", "data": data_of(rows, encoded=False), "usage": {"total_tokens": len(texts)}})


def ollama(received: Received) -> Reply:
    said = received.json
    return reply({"object": "list", "data": data_of(said["input"], encoded=False), "model": said["model"]})


def jina_rerank(received: Received) -> Reply:
    """Scores by the words that a document shares with the query, the best first."""
    said = received.json
    wanted = set(said["query"].split())
    scores = [
        (len(wanted & set(text.split())) / max(1, len(wanted)), at) for at, text in enumerate(said["documents"])
    ]
    results = [{"index": at, "relevance_score": score} for score, at in sorted(scores, reverse=True)]
    return reply({"model": said["model"], "results": results, "usage": {"total_tokens": 9}})


def voyage_rerank(received: Received) -> Reply:
    said = msgspec.json.decode(jina_rerank(received).body)
    return reply({"object": "list", "data": said["results"], "usage": {"total_tokens": 9}})


def logit_rerank(received: Received) -> Reply:
    """One's own server that gives logits as they are."""
    said = msgspec.json.decode(jina_rerank(received).body)
    for each in said["results"]:
        each["relevance_score"] = each["relevance_score"] * 12 - 6
    return reply(said)
