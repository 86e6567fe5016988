"""What an answer claims, sentence by sentence, with the passages that say so, as its span recorded them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from penstock.console.passages import address_of, source_line
from penstock.knowledge.base import KnowledgeBase, Reader


class RecordedPlace(Struct, frozen=True):
    """Characters of a document that support a claim."""

    document: str
    document_id: str
    heading: tuple[str, ...]
    location: str
    start: int
    end: int


class RecordedClaim(Struct, frozen=True):
    """Characters of the answer, and the places that support them."""

    start: int
    end: int
    places: tuple[RecordedPlace, ...]


class PlaceRow(Struct, frozen=True, kw_only=True):
    """`text` is what stands there; "", and `href` `None`, where it is gone, or not for the reader."""

    source: str
    href: str | None
    text: str


class ClaimRow(Struct, frozen=True):
    """A sentence or a quotation of the answer; without places nothing supports it."""

    text: str
    places: tuple[PlaceRow, ...]


def claims(
    answer: str, spans: Iterable[Mapping[str, Any]], base: KnowledgeBase | None, reader: Reader
) -> Iterable[ClaimRow]:
    """The claims of a composed answer in its order; none where its text was not recorded."""
    for claim in (each for values in spans for each in recorded(values)):
        if text := answer[claim.start : claim.end].strip():
            ranges = [(each.document_id, each.start, each.end) for each in claim.places]
            said = base.texts(ranges, reader) if base and ranges else [""] * len(ranges)
            found = zip(claim.places, said, strict=True)
            yield ClaimRow(text, tuple(place_row(base, place, quote) for place, quote in found))


def place_row(base: KnowledgeBase | None, place: RecordedPlace, quote: str) -> PlaceRow:
    return PlaceRow(
        source=source_line(place.document, place.heading, place.location),
        href=address_of(base.name, place.document_id, place.start, place.end) if base and quote else None,
        text=quote,
    )


def recorded(values: Mapping[str, Any]) -> Iterable[RecordedClaim]:
    """The claims among a span's attributes; what has another shape was not recorded by an answer of ours."""
    try:
        return msgspec.convert(values.get("claims", ()), tuple[RecordedClaim, ...])
    except msgspec.ValidationError:
        return ()
