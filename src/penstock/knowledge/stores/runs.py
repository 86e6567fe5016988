"""The table of runs."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, Row, text

from penstock.errors import Conflict
from penstock.knowledge.ingestion.records import Run, RunError, RunOptions
from penstock.knowledge.values import IngestProgress, IngestSummary

KEPT = 500
"""Runs that are remembered."""

COLUMNS = "id, trigger, state, created_at, started_at, ended_at, generation, progress, report, error"
CANCELLED = RunError("conflict", "It was cancelled.")
KILLED = RunError("unavailable", "Its process ended before it did.", "The run after it went on where it was.")
OPEN = "('queued', 'running')"


def add(connection: Connection, project_id: str, run: Run, options: RunOptions) -> None:
    """Adds a run, and forgets the oldest ones."""
    names = {
        "project": project_id,
        "id": run.id,
        "trigger": run.trigger,
        "state": run.state,
        "created": run.created_at,
        "options": msgspec.json.encode(options).decode(),
        "kept": KEPT,
    }
    connection.execute(
        text(
            "INSERT INTO run (id, project_id, trigger, state, created_at, options)"
            " VALUES (:id, :project, :trigger, :state, :created, :options)"
        ),
        names,
    )
    connection.execute(
        text(
            f"DELETE FROM run WHERE project_id = :project AND state NOT IN {OPEN} AND id NOT IN"  # noqa: S608
            " (SELECT id FROM run WHERE project_id = :project ORDER BY created_at DESC, id DESC LIMIT :kept)"
        ),
        names,
    )


def get(connection: Connection, project_id: str, id: str) -> Run | None:
    row = connection.execute(
        text(f"SELECT {COLUMNS} FROM run WHERE project_id = :project AND id = :id"),  # noqa: S608
        {"project": project_id, "id": id},
    ).one_or_none()
    return run_of(row) if row else None


def options_of(connection: Connection, project_id: str, id: str) -> RunOptions:
    found: str = connection.execute(
        text("SELECT options FROM run WHERE project_id = :project AND id = :id"), {"project": project_id, "id": id}
    ).scalar_one()
    return msgspec.json.decode(found, type=RunOptions)


def latest(connection: Connection, project_id: str, limit: int) -> list[Run]:
    """The last runs, newest first."""
    rows = connection.execute(
        text(
            f"SELECT {COLUMNS} FROM run WHERE project_id = :project"  # noqa: S608
            " ORDER BY created_at DESC, id DESC LIMIT :limit"
        ),
        {"project": project_id, "limit": limit},
    )
    return [run_of(row) for row in rows]


def queued(connection: Connection, project_id: str, options: RunOptions) -> Run | None:
    """A run that was asked for in the same way and has not begun."""
    row = connection.execute(
        text(
            f"SELECT {COLUMNS} FROM run WHERE project_id = :project AND state = 'queued'"  # noqa: S608
            " AND options = :options ORDER BY created_at LIMIT 1"
        ),
        {"project": project_id, "options": msgspec.json.encode(options).decode()},
    ).one_or_none()
    return run_of(row) if row else None


def start(connection: Connection, project_id: str, id: str, now_us: int) -> bool:
    """Notes that a run is at work; says whether it still is to be done. The turn was free, so that others which
    seem to be at work were killed: those that are durable go on by themselves."""
    names = {"project": project_id, "id": id, "now": now_us, "killed": msgspec.json.encode(KILLED).decode()}
    connection.execute(
        text(
            "UPDATE run SET state = 'failed', ended_at = :now, error = :killed WHERE project_id = :project"
            " AND id <> :id AND state = 'running' AND json_extract(options, '$.durable') = 0"
        ),
        names,
    )
    changed = connection.execute(
        text(
            "UPDATE run SET state = 'running', started_at = :now, generation = NULL"  # noqa: S608
            f" WHERE project_id = :project AND id = :id AND state IN {OPEN}"
        ),
        names,
    )
    return changed.rowcount == 1


def progress(connection: Connection, project_id: str, id: str, progress: IngestProgress | None) -> bool:
    """Notes how far a run is; says whether it is still wanted."""
    changed = connection.execute(
        text("UPDATE run SET progress = :progress WHERE project_id = :project AND id = :id AND state = 'running'"),
        {"project": project_id, "id": id, "progress": msgspec.json.encode(progress or {}).decode()},
    )
    return changed.rowcount == 1


def publish(connection: Connection, project_id: str, id: str, generation: int) -> None:
    """Notes what a run came to, in the transaction that lets readers see it. Raises `Conflict` for one that was
    cancelled."""
    changed = connection.execute(
        text(
            "UPDATE run SET generation = :generation WHERE project_id = :project AND id = :id AND state = 'running'"
        ),
        {"project": project_id, "id": id, "generation": generation},
    )
    if not changed.rowcount:
        raise cancelled(id)


def cancel(connection: Connection, project_id: str, id: str, now_us: int) -> bool:
    """Cancels a run that has not published anything yet; says whether it could."""
    changed = connection.execute(
        text(
            "UPDATE run SET state = 'cancelled', ended_at = :now, error = :error"  # noqa: S608
            f" WHERE project_id = :project AND id = :id AND state IN {OPEN} AND generation IS NULL"
        ),
        {"project": project_id, "id": id, "now": now_us, "error": msgspec.json.encode(CANCELLED).decode()},
    )
    return changed.rowcount == 1


def cancelled(id: str) -> Conflict:
    return Conflict(
        f"Run {id} was cancelled.", hint="Nothing of it was published; the next run goes on from there."
    )


def finish(connection: Connection, project_id: str, run: Run) -> None:
    """Notes what came of a run, unless it was cancelled."""
    connection.execute(
        text(
            "UPDATE run SET state = :state, ended_at = :ended, report = :report, error = :error"  # noqa: S608
            f" WHERE project_id = :project AND id = :id AND state IN {OPEN}"
        ),
        {
            "project": project_id,
            "id": run.id,
            "state": run.state,
            "ended": run.ended_at,
            "report": msgspec.json.encode(run.report or {}).decode(),
            "error": msgspec.json.encode(run.error).decode() if run.error else "",
        },
    )


def run_of(row: Row[Any]) -> Run:
    return Run(
        id=row.id,
        trigger=row.trigger,
        state=row.state,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        generation=row.generation,
        progress=None if row.progress == "{}" else msgspec.json.decode(row.progress, type=IngestProgress),
        report=None if row.report == "{}" else msgspec.json.decode(row.report, type=IngestSummary),
        error=msgspec.json.decode(row.error, type=RunError) if row.error else None,
    )
