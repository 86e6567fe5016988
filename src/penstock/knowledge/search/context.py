"""What stands around a passage: the larger part that it was cut from, or its neighbours."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from penstock.knowledge.stores.reader import SqliteReader
from penstock.knowledge.values import Hit, Query, Scope

LONGEST = 20_000
"""Characters of a passage with what is around it; it stays as it was where that would be longer."""


def with_context(reader: SqliteReader, scope: Scope, hits: Sequence[Hit], query: Query) -> list[Hit]:
    """The hits widened as the query asks; what lies inside an earlier one is left out.

    A widened hit is still characters `start` to `end` of its document.
    """
    if not (query.neighbours or query.expand):
        return list(hits)
    found: list[Hit] = []
    for hit in hits:
        if any(holds(other, hit) for other in found):
            continue
        start, end = hit.start, hit.end
        if query.expand and hit.parent is not None:
            start, end = min(start, hit.parent[0]), max(end, hit.parent[1])
        if query.neighbours and (around := reader.around(hit.chunk_id, query.neighbours, scope.generation)):
            start, end = min(start, around[0]), max(end, around[1])
        widened = hit if end - start > LONGEST else replace(hit, start=start, end=end)
        if (widened.start, widened.end) != (hit.start, hit.end):
            text = reader.text_between(hit.document_id, widened.start, widened.end, scope.reader)
            widened = replace(widened, text=text) if text else hit
        found.append(widened)
        if len(found) == query.limit:
            break
    return found


def holds(one: Hit, other: Hit) -> bool:
    return one.document_id == other.document_id and one.start <= other.start and other.end <= one.end
