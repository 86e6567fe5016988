"""`[server]`: the HTTP server."""

from __future__ import annotations

import ipaddress

from pydantic import Field, field_validator

from penstock.config.table import Table


class ServerSettings(Table):
    """The HTTP server."""

    host: str = Field(
        "127.0.0.1", description="Address to listen on: loopback only, because there are no keys yet."
    )
    port: int = Field(7100, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    max_body_mb: float = Field(20.0, gt=0, description="Largest request body, in MB; larger ones get status 413.")
    max_in_flight: int = Field(256, ge=1, description="Requests in progress; the next ones get status 429.")
    request_seconds: float = Field(300.0, gt=0, description="Longest time for one request, in seconds.")
    drain_seconds: float = Field(
        20.0, ge=0, description="Time that requests in progress have to finish when the server stops, in seconds."
    )

    @field_validator("host")
    @classmethod
    def _loopback(cls, host: str) -> str:
        try:
            loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise ValueError(
                f"must be a loopback address, not {host!r}: there are no keys in local mode, so others could read "
                "the documents. Use '127.0.0.1', and a reverse proxy with a login in front of it"
            )
        return host
