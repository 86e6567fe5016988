"""The tables of `traces.db`, as its migrations leave them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    column,
    table,
)

METADATA = MetaData()
TRACE = Table(
    "trace",
    METADATA,
    Column("key", BigInteger, primary_key=True),
    Column("id", Text),
    Column("project_id", Text),
    Column("operation", Text),
    Column("purpose", Text),
    Column("model", Text),
    Column("release_id", Text),
    Column("knowledge", Text),
    Column("generation", Integer),
    Column("status", Text),
    Column("error_code", Text),
    Column("error_message", Text),
    Column("started_us", BigInteger),
    Column("duration_us", BigInteger),
    Column("first_chunk_us", BigInteger),
    Column("input_tokens", Integer),
    Column("cached_input_tokens", Integer),
    Column("output_tokens", Integer),
    Column("reasoning_tokens", Integer),
    Column("cost_nanos", BigInteger),
    Column("answered", Boolean),
    Column("grounded", Float),
    Column("score", Float),
    Column("question", Text),
    Column("answer", Text),
    Column("user", Text),
    Column("session", Text),
)
SPAN = Table(
    "span",
    METADATA,
    Column("number", BigInteger, primary_key=True),
    Column("trace_key", BigInteger),
    Column("id", Text),
    Column("project_id", Text),
    Column("parent_id", Text),
    Column("name", Text),
    Column("kind", Text),
    Column("status", Text),
    Column("error", Text),
    Column("started_us", BigInteger),
    Column("duration_us", BigInteger),
    Column("attributes", LargeBinary),
)
FEEDBACK = Table(
    "feedback",
    METADATA,
    Column("project_id", Text, primary_key=True),
    Column("trace_key", BigInteger, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("user", Text, primary_key=True),
    Column("score", Float),
    Column("comment", Text),
    Column("created_us", BigInteger),
)
TEXT_INDEX = table("trace_text", column("trace_text", Text), column("rowid", BigInteger), column("question", Text))
"""FTS5 over `trace.question`, by runs of three characters. It is told of every row by hand."""
