"""The table of `responses.db`, as its migrations leave it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, LargeBinary, MetaData, Table, Text

METADATA = MetaData()
RESPONSE = Table(
    "response",
    METADATA,
    Column("project_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("previous_id", Text),
    Column("provider", Text),
    Column("created_us", BigInteger),
    Column("input", LargeBinary),
    Column("body", LargeBinary),
)
