"""`[responses]`: what /v1/responses keeps."""

from __future__ import annotations

from pydantic import Field

from penstock.config.table import Table


class ResponseSettings(Table):
    """What /v1/responses keeps."""

    store: bool = Field(
        True,
        description="Whether responses are kept, as long as traces are, so that a request can go on with one "
        "(`previous_response_id`). Callers turn it off for one request with `store: false`.",
    )
