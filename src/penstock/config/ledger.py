"""`[ledger]`: the record of what every call of a model used and cost."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from penstock.config.table import Table


class LedgerSettings(Table):
    """The record of what every call of a model used and cost."""

    durability: Literal["process", "power"] = Field(
        "process",
        description="What a call's record outlives: `process` the end of the server, also by kill -9; `power` also "
        "a power cut, for which the end of an answer waits for the disk.",
    )
