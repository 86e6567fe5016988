"""`[database]`: where keys, limits and the ledger are kept."""

from __future__ import annotations

from pydantic import Field

from penstock.config.secret import Secret
from penstock.config.table import Table


class DatabaseSettings(Table):
    """Where keys, limits and the ledger are kept. Traces and knowledge are always files in the data folder."""

    url: Secret | None = Field(
        None,
        description="A PostgreSQL database for several processes or machines, always as "
        '`{ env = "DATABASE_URL" }`, with the address `postgresql://user:password@host:5432/name` in that '
        "variable; needs `pip install 'penstock[postgres]'`. Default: SQLite files in the data folder.",
    )
