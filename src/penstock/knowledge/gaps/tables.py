"""The tables of `gaps.db`, as its migrations leave them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, Table, Text

METADATA = MetaData()

GAP = Table(
    "gap",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text),
    Column("knowledge", Text),
    Column("fingerprint", Text),
    Column("name", Text),
    Column("terms", Text),
    Column("state", Text),
    Column("note", Text),
    Column("created_us", BigInteger),
    Column("closed_us", BigInteger),
    Column("closed_in", Integer),
)
QUESTION = Table(
    "gap_question",
    METADATA,
    Column("project_id", Text, primary_key=True),
    Column("trace_id", Text, primary_key=True),
    Column("gap_id", Text),
    Column("text", Text),
    Column("reason", Text),
    Column("tags", Text),
    Column("vector", LargeBinary),
    Column("asked_us", BigInteger),
    Column("answered_in", Integer),
)
