"""`[logs]`: what the server writes to its standard error."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from penstock.config.table import Table


class LogSettings(Table):
    """What the server writes to its standard error. No content and no secret is in it."""

    format: Literal["text", "json"] = Field(
        "text", description="Lines for people, or one JSON object a line for programs."
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least that is written of what Penstock itself says."
    )
    requests: bool = Field(
        False,
        description="Whether each request that is over gets a line: route, model, status, milliseconds, tokens, "
        "bytes and the id of its key.",
    )
