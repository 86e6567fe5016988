"""What a run has to do for one source: its listing held against what is known of its documents."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from penstock.knowledge.loaders.kinds import Kind, parser_of
from penstock.knowledge.loaders.messages import ReadResult
from penstock.knowledge.sources.base import Item, Listing, Source
from penstock.knowledge.stores.seals import seal_of
from penstock.knowledge.stores.writes import LedgerRow
from penstock.knowledge.values import KnowledgeOptions, Status

RECIPE = 2
"""Raise it when what is made of a file's text changes, so that files are read again."""

PASSING: frozenset[Status] = frozenset(("timeout", "unreadable"))
"""Failures that may pass by themselves: they are tried again in every run."""

NOT_OF_CONTENT: frozenset[Status] = PASSING | {"too_large"}
"""Failures that are not of the content alone: another time, or another limit, the same bytes may be read."""


class Work(Struct, frozen=True):
    """A document that may have changed. `same` says that its content has not, only what its source says of it."""

    source: Source
    item: Item
    known: LedgerRow | None
    same: bool


class Plan(Struct, frozen=True, kw_only=True):
    """What is to be done for one source. `gone` are keys that it no longer has."""

    work: tuple[Work, ...]
    unchanged: tuple[LedgerRow, ...]
    keys: tuple[str, ...]
    gone: frozenset[str]


class Recipes:
    """What makes a text of a kind of file, and passages of the text: when it changes, files are read again."""

    def __init__(self, options: KnowledgeOptions) -> None:
        self._options = options
        self._parsers: dict[Kind, str] = {}

    def parser(self, kind: Kind) -> str:
        if kind not in self._parsers:
            self._parsers[kind] = parser_of(kind, self._options.ocr_languages)
        return self._parsers[kind]

    def of(self, kind: Kind) -> str:
        return f"{RECIPE} {self.parser(kind)} {self._options.chunking.recipe}"


def listed(item: Item) -> bytes:
    """The seal of what a source says of a document beside its content."""
    return seal_of(sorted(item.metadata.items()), item.readers, item.title, item.url)


def plan(
    source: Source, listing: Listing, ledger: Mapping[str, LedgerRow], recipes: Recipes, options: KnowledgeOptions
) -> Plan:
    """Sorts a listing into what is unchanged, what may have changed, and what is gone."""
    work: list[Work] = []
    unchanged: list[LedgerRow] = []
    keys: list[str] = []
    for item in listing.items:
        known = ledger.get(item.key)
        same = known is not None and is_same(item, known, recipes, options)
        if known is not None and same and known.listed == listed(item):
            unchanged.append(known)
            keys.append(item.key)
        else:
            work.append(Work(source, item, known, same))
    return Plan(work=tuple(work), unchanged=tuple(unchanged), keys=tuple(keys), gone=listing.gone(ledger.keys()))


def is_same(item: Item, known: LedgerRow, recipes: Recipes, options: KnowledgeOptions) -> bool:
    """Whether a document's content need not even be fetched to know that it is what it was."""
    return (
        item.version != ""
        and known.version == item.version
        and known.recipe == recipes.of(item.kind)
        and known.status not in PASSING
        and (known.status != "too_large" or (item.size or 0) > options.max_file_bytes)
    )


def keeps_known(result: ReadResult, known: LedgerRow | None) -> bool:
    """Whether a failure may pass, so that what is known of the document stays as it is until the next run."""
    status = result.status
    if status == "vanished" or known is None:
        return status == "vanished"
    if status == "too_large":  # by the memory that reading it took; where its size says so, there is no digest
        return known.status == status and known.digest == result.digest != ""
    return status in PASSING and (known.chunks > 0 or known.status == status)


def needs_all(ledger: Mapping[str, LedgerRow], recipes: Recipes) -> bool:
    """Whether documents that a listing of changes would not name are to be read again."""
    current: dict[str, str] = {}
    for row in ledger.values():
        if row.kind not in current:
            current[row.kind] = recipes.of(msgspec.convert(row.kind, Kind))
        if row.recipe != current[row.kind]:
            return True
    return False
