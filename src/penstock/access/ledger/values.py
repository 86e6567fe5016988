"""The frozen values of the ledger: a call that begins, and how it ended."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from penstock.exchange import Exchange, Usage

Status = Literal["reserved", "ok", "error", "cancelled", "cached", "reconciled"]
"""`reserved` is in progress; `reconciled` was, when its process was killed: what it cost is not known."""


class LedgerEntry(Struct, frozen=True):
    """A call that begins. `reserved_nanos` is the most that it may cost, `None` where that is not known."""

    exchange: Exchange
    reserved_nanos: int | None = None


class LedgerOutcome(Struct, frozen=True, kw_only=True):
    """How a call ended.

    `usage` is `None` where nobody said; its cost is that of the call. `served_by` is the target that a route
    chose. `saved_nanos` is what an answer from a cache would have cost. `batch` says that the provider worked in a
    batch of its own.
    """

    status: Status
    usage: Usage | None = None
    served_by: str = ""
    cache: str = ""
    saved_nanos: int | None = None
    batch: bool = False
