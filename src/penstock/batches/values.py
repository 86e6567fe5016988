"""A batch, its lines, and how they stand."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from penstock.exchange import Principal

Status = Literal[
    "validating", "in_progress", "finalizing", "completed", "cancelling", "cancelled", "failed", "expired"
]
OVER: tuple[Status, ...] = ("completed", "cancelled", "failed", "expired")
KIND = "batch"
"""The kind of job that a batch is."""

WAITING, STARTED, DONE = 0, 1, 2
"""The states of a line."""

MOST_ATTEMPTS = 2
"""Times that a line is begun: once, and once more where its process was killed meanwhile."""


class BatchError(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a batch or a line of it failed. `line` counts from 1."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


class Batch(Struct, frozen=True, kw_only=True):
    """Many requests as one job.

    `principal` is who made it: all of it is asked in their name. `errors` say why it failed as a whole. `total` are
    the lines of its file, `completed` and `failed` of those the ones that are over. `output_seconds` is how long
    its output files are kept. `upstream` is where it stands with a vendor that works on it, `None` for a batch
    whose lines are asked here.
    """

    id: str
    project_id: str
    principal: Principal
    endpoint: str
    input_file_id: str
    completion_window: str
    metadata: dict[str, str]
    output_seconds: int | None = None
    status: Status = "validating"
    errors: tuple[BatchError, ...] = ()
    output_file_id: str | None = None
    error_file_id: str | None = None
    model: str | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0
    created_us: int
    expires_us: int
    in_progress_us: int | None = None
    finalizing_us: int | None = None
    completed_us: int | None = None
    failed_us: int | None = None
    expired_us: int | None = None
    cancelling_us: int | None = None
    cancelled_us: int | None = None
    upstream: dict[str, Any] | None = None


class NewBatch(Struct, frozen=True, kw_only=True):
    """A batch that is asked for. `output_seconds` is how long its output is kept, `None` for the usual time."""

    endpoint: str
    input_file_id: str
    completion_window: str = "24h"
    metadata: dict[str, str] = {}
    output_seconds: int | None = None


class Line(Struct, frozen=True, kw_only=True):
    """One line of a batch's file: `length` bytes from `start` on. `number` counts from 1."""

    number: int
    start: int
    length: int
    attempts: int = 0


class Result(Struct, frozen=True, kw_only=True):
    """What came of a line: the line of the output or, with `is_error`, of the error file."""

    number: int
    is_error: bool
    line: bytes
