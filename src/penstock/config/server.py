"""`[server]`: the HTTP server."""

from __future__ import annotations

import ipaddress

from pydantic import Field, field_validator

from penstock.config.table import Table
from penstock.config.tls import TlsSettings


class ServerSettings(Table):
    """The HTTP server."""

    host: str = Field(
        "127.0.0.1",
        description="Address to listen on. One that others can reach, such as `0.0.0.0`, needs a key to exist.",
    )
    port: int = Field(7100, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="Processes that serve, for models elsewhere only. Limits and budgets hold over all of them; "
        "`max_in_flight` and a cache in memory are each worker's own.",
    )
    max_body_mb: float = Field(20.0, gt=0, description="Largest request body, in MB; larger ones get status 413.")
    max_in_flight: int = Field(256, ge=1, description="Requests in progress; the next ones get status 429.")
    request_seconds: float = Field(300.0, gt=0, description="Longest time for one request, in seconds.")
    drain_seconds: float = Field(
        30.0, ge=0, description="Time that requests in progress have to finish when the server stops, in seconds."
    )

    tls: TlsSettings | None = None

    @field_validator("host")
    @classmethod
    def _address(cls, host: str) -> str:
        try:
            ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
        except ValueError:
            raise ValueError(f"must be an address such as '127.0.0.1', '0.0.0.0' or '::', not {host!r}") from None
        return host
