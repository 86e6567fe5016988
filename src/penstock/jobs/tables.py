"""The table of jobs in `jobs.db`, as its migrations leave it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Text

JOB = Table(
    "job",
    MetaData(),
    Column("id", Text, primary_key=True),
    Column("kind", Text),
    Column("project_id", Text),
    Column("created_us", BigInteger),
    Column("due_us", BigInteger),
    Column("failures", Integer),
    Column("error", Text),
)
