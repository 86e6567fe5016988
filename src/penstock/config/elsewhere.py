"""Where else the work of a knowledge base is done: a vector database, a Ray cluster."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from penstock.config.secret import Secret
from penstock.config.table import Table


class StoreSettings(Table):
    """A vector database for the vectors of this knowledge; its documents stay in the data folder."""

    url: str = Field(
        min_length=1,
        description="`qdrant://HOST:6333`, `chroma://HOST:8000` (with an `s` for TLS: `qdrants://`), "
        "`pinecone://HOST-OF-THE-INDEX`, or `postgresql://USER@HOST:5432/NAME` with pgvector. Each needs its "
        "extra, such as `pip install 'penstock[qdrant]'`.",
    )
    key: Secret | None = Field(
        None,
        description='The key of the database, or the password of PostgreSQL, always as `{ env = "NAME" }`.',
    )

    @field_validator("url")
    @classmethod
    def _without_password(cls, url: str) -> str:
        if "@" in url and ":" in url.partition("://")[2].rpartition("@")[0]:
            raise ValueError('must have no password in it: put it in the environment, and key = { env = "NAME" }')
        return url


class RayTable(Table):
    """The cluster that `executor = "ray"` means. Needs `pip install 'penstock[ray]'`."""

    address: str = Field(
        "",
        description="`HOST:PORT` or `ray://HOST:PORT` of a cluster, `auto` for the one that this machine belongs "
        "to. Default: one on this machine for the time of a run.",
    )
    readers: int | None = Field(
        None, ge=1, le=1000, description="Files read at a time. Default: this machine's cores."
    )
    encoders: int | None = Field(None, ge=1, le=1000, description="Encoders at work. Default: one on each node.")


class ElsewhereSettings(Table):
    """What of a knowledge base is not done in its own process and file."""

    store: StoreSettings | None = None
    executor: Literal["processes", "ray"] = Field(
        "processes", description="Who reads and embeds documents: child processes, or a Ray cluster."
    )
    ray: RayTable = RayTable()
