"""What is read from and written to the table of jobs. Other parts write their own rows in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, insert, select, update

from penstock.jobs.tables import JOB
from penstock.jobs.values import Job

J = JOB.c


def add(connection: Connection, job: Job) -> None:
    connection.execute(insert(JOB).values({name: getattr(job, name) for name in job.__struct_fields__}))


def remove(connection: Connection, id: str) -> None:
    """Ends a job."""
    connection.execute(delete(JOB).where(J.id == id))


def due(connection: Connection, kinds: Sequence[str], now_us: int, limit: int) -> Sequence[Job]:
    """Up to `limit` jobs that can be done now: the oldest of every project, then the next of every project."""
    turn = func.row_number().over(partition_by=J.project_id, order_by=(J.created_us, J.id)).label("turn")
    waiting = select(JOB, turn).where(J.kind.in_(kinds), J.due_us <= now_us).subquery()
    columns = [waiting.c[column.name] for column in JOB.columns]
    order = (waiting.c.turn, waiting.c.created_us, waiting.c.id)
    rows = connection.execute(select(*columns).order_by(*order).limit(limit))
    return [Job(**row._mapping) for row in rows]


def postpone(connection: Connection, id: str, due_us: int, error: str) -> None:
    """A job that raised is tried again at `due_us`."""
    connection.execute(
        update(JOB).where(J.id == id).values(due_us=due_us, failures=J.failures + 1, error=error[:1000])
    )


def later(connection: Connection, id: str, due_us: int) -> None:
    """A job that has to wait for something is looked at again at `due_us`, or when it is hastened."""
    connection.execute(update(JOB).where(J.id == id).values(due_us=due_us, failures=0, error=None))


def hasten(connection: Connection, id: str) -> None:
    """A job that waits is due at once."""
    connection.execute(update(JOB).where(J.id == id).values(due_us=0))
