"""The table of files in `jobs.db`, as its migrations leave it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, LargeBinary, MetaData, Table, Text

FILE = Table(
    "file",
    MetaData(),
    Column("id", Text, primary_key=True),
    Column("project_id", Text),
    Column("purpose", Text),
    Column("filename", Text),
    Column("size", BigInteger),
    Column("sha256", LargeBinary),
    Column("created_us", BigInteger),
    Column("expires_us", BigInteger),
)
