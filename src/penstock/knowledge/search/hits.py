"""What a search found, as its caller gets it and as a trace shows it."""

from __future__ import annotations

from penstock.knowledge.search.mixing import mix
from penstock.knowledge.stores.records import StoredChunk
from penstock.knowledge.values import Hit


def mixed(cosine: float | None, text_score: float, weight: float) -> float:
    """The score of a passage; one without a vector has that of its words."""
    return text_score if cosine is None else mix(cosine, text_score, weight)


def hit_of(chunk: StoredChunk, cosine: float | None, text_score: float, weight: float) -> Hit:
    return Hit(
        chunk_id=chunk.id,
        document_id=chunk.document_id,
        document=chunk.document,
        title=chunk.title,
        heading=chunk.heading,
        page=chunk.page,
        start=chunk.start,
        end=chunk.end,
        text=chunk.text,
        score=mixed(cosine, text_score, weight),
        vector_score=cosine,
        text_score=text_score,
        location=chunk.location,
        parent=chunk.parent,
        url=chunk.url,
        metadata=chunk.metadata,
    )


def hit_attributes(hit: Hit) -> dict[str, object]:
    attributes: dict[str, object] = {
        "chunk": hit.chunk_id,
        "document": hit.document,
        "document_id": hit.document_id,
        "heading": hit.heading,
        "page": hit.page,
        "start": hit.start,
        "end": hit.end,
        "score": round(hit.score, 4),
        "vector_score": None if hit.vector_score is None else round(hit.vector_score, 4),
        "text_score": round(hit.text_score, 4),
    }
    if hit.location:
        attributes["location"] = hit.location
    if hit.rerank_score is not None:
        attributes["rerank_score"] = round(hit.rerank_score, 4)
    return attributes
