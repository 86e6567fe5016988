"""`[traces]`: the record of every request."""

from __future__ import annotations

from pydantic import Field

from penstock.config.table import Table


class TraceSettings(Table):
    """The record of every request."""

    content: bool = Field(
        True, description="Whether traces keep what was asked, sent to the model and answered, or only the figures."
    )
    keep_days: int = Field(30, ge=1, description="Traces older than this many days are deleted.")
