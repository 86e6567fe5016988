"""The tables of batches in `jobs.db`, as its migrations leave them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, MetaData, Table, Text

METADATA = MetaData()
BATCH = Table(
    "batch",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text),
    Column("principal", LargeBinary),
    Column("endpoint", Text),
    Column("input_file_id", Text),
    Column("completion_window", Text),
    Column("metadata", LargeBinary),
    Column("output_seconds", BigInteger),
    Column("status", Text),
    Column("errors", LargeBinary),
    Column("output_file_id", Text),
    Column("error_file_id", Text),
    Column("model", Text),
    Column("total", Integer),
    Column("completed", Integer),
    Column("failed", Integer),
    Column("created_us", BigInteger),
    Column("expires_us", BigInteger),
    Column("in_progress_us", BigInteger),
    Column("finalizing_us", BigInteger),
    Column("completed_us", BigInteger),
    Column("failed_us", BigInteger),
    Column("expired_us", BigInteger),
    Column("cancelling_us", BigInteger),
    Column("cancelled_us", BigInteger),
    Column("upstream", LargeBinary),
)
LINE = Table(
    "batch_line",
    METADATA,
    Column("batch_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("state", Integer),
    Column("attempts", Integer),
    Column("start", BigInteger),
    Column("length", BigInteger),
)
RESULT = Table(
    "batch_result",
    METADATA,
    Column("batch_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("is_error", Boolean),
    Column("line", LargeBinary),
)
