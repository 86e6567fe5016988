"""The tables of audit records, which stand in `access.db`, as its migrations leave them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Text

METADATA = MetaData()
AUDIT = Table(
    "audit",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("time_us", BigInteger),
    Column("actor", Text),
    Column("key_id", Text),
    Column("action", Text),
    Column("target", Text),
    Column("project_id", Text),
    Column("address", Text),
    Column("before", Text),
    Column("after", Text),
    Column("previous", Text),
    Column("digest", Text),
)
AUDIT_HEAD = Table(
    "audit_head",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger),
    Column("digest", Text),
)
"""One row: the number and digest of the newest record. Whoever appends locks it first."""
