"""The tables of `access.db`, as its migrations leave them; those of audit records are in `audit/tables.py`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Text

METADATA = MetaData()
STATE = Table(
    "access_state",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", BigInteger),
    Column("pepper_check", Text),
)
"""One row: how often anything here changed, and what the pepper makes of a known text."""

PROJECT = Table(
    "project",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("title", Text),
    Column("limits", Text),
    Column("created_by", Text),
    Column("created_us", BigInteger),
    Column("archived_us", BigInteger),
    Column("version", BigInteger),
)
KEY = Table(
    "access_key",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("digest", Text),
    Column("hash_scheme", Text),
    Column("prefix", Text),
    Column("name", Text),
    Column("project_id", Text),
    Column("role", Text),
    Column("models", Text),
    Column("routes", Text),
    Column("limits", Text),
    Column("parent_id", Text),
    Column("created_by", Text),
    Column("created_us", BigInteger),
    Column("expires_us", BigInteger),
    Column("revoked_us", BigInteger),
    Column("last_used_us", BigInteger),
    Column("version", BigInteger),
    Column("groups", Text),
)
SESSION = Table(
    "session",
    METADATA,
    Column("digest", Text, primary_key=True),
    Column("key_id", Text),
    Column("created_us", BigInteger),
    Column("expires_us", BigInteger),
    Column("ended_us", BigInteger),
    Column("version", BigInteger),
    Column("person", Text),
)
