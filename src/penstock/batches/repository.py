"""What is read from and written to the tables of batches. Everything a caller asks is by project."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from penstock.batches.files import repository as files
from penstock.batches.files.values import StoredFile
from penstock.batches.tables import BATCH, LINE, RESULT
from penstock.batches.values import (
    DONE,
    KIND,
    MOST_ATTEMPTS,
    OVER,
    STARTED,
    WAITING,
    Batch,
    BatchError,
    Line,
    Result,
    Status,
)
from penstock.exchange import Principal
from penstock.jobs import repository as jobs
from penstock.jobs.values import Job

B, L, R = BATCH.c, LINE.c, RESULT.c
PACKED: dict[str, Any] = {
    "principal": Principal,
    "metadata": dict[str, str],
    "errors": tuple[BatchError, ...],
    "upstream": dict[str, Any] | None,
}
"""The columns that hold JSON."""

PAGE = 200
STOPPABLE: tuple[Status, ...] = ("validating", "in_progress")


def row_of(values: dict[str, Any]) -> dict[str, Any]:
    return {name: msgspec.json.encode(value) if name in PACKED else value for name, value in values.items()}


def batch_of(row: Row[Any]) -> Batch:
    values = dict(row._mapping)
    for name, kind in PACKED.items():
        values[name] = msgspec.json.decode(values[name], type=kind)
    return Batch(**values)


def add(connection: Connection, batch: Batch) -> None:
    connection.execute(insert(BATCH).values(row_of(msgspec.structs.asdict(batch))))


def submit(connection: Connection, batch: Batch) -> None:
    """Adds a batch and the job of working on it."""
    add(connection, batch)
    now = batch.created_us
    jobs.add(connection, Job(id=batch.id, kind=KIND, project_id=batch.project_id, created_us=now, due_us=now))


def cancel(connection: Connection, project_id: str, id: str, now_us: int) -> Batch | None:
    """Stops a batch that has not come to its end; returns it as it is then, `None` where there is none."""
    mine = get(connection, project_id, id)
    if mine is not None and change(connection, id, STOPPABLE, {"status": "cancelling", "cancelling_us": now_us}):
        jobs.hasten(connection, id)
    return get(connection, project_id, id)


def get(connection: Connection, project_id: str, id: str) -> Batch | None:
    row = connection.execute(select(BATCH).where(B.project_id == project_id, B.id == id)).one_or_none()
    return batch_of(row) if row is not None else None


def page(connection: Connection, project_id: str, after: str | None, limit: int) -> Sequence[Batch]:
    """The newest first; one more than were asked for, where there are more. Ids are in the order of time."""
    query = select(BATCH).where(B.project_id == project_id)
    if after is not None:
        query = query.where(B.id < after)
    return [batch_of(row) for row in connection.execute(query.order_by(B.id.desc()).limit(limit + 1))]


def find(connection: Connection, id: str) -> Batch | None:
    """For the worker, who works for every project."""
    row = connection.execute(select(BATCH).where(B.id == id)).one_or_none()
    return batch_of(row) if row is not None else None


def change(connection: Connection, id: str, was: Sequence[Status], values: dict[str, Any]) -> bool:
    """Sets columns of a batch that is in one of these states; whether it was."""
    changed = connection.execute(update(BATCH).where(B.id == id, B.status.in_(was)).values(row_of(values)))
    return changed.rowcount == 1


def validated(connection: Connection, id: str, counts: dict[str, Any], now_us: int) -> None:
    """A batch whose lines are known goes on, unless it was cancelled meanwhile."""
    connection.execute(update(BATCH).where(B.id == id).values(row_of(counts)))
    change(connection, id, ("validating",), {"status": "in_progress", "in_progress_us": now_us})


def note_upstream(connection: Connection, id: str, state: dict[str, Any]) -> None:
    """Where a batch stands with the vendor that works on it."""
    connection.execute(update(BATCH).where(B.id == id).values(row_of({"upstream": state})))


def put_lines(connection: Connection, batch_id: str, lines: Sequence[Line], results: Sequence[Result]) -> None:
    """Adds lines that were read: those that can be asked, and the results of those that cannot."""
    if lines:
        connection.execute(
            insert(LINE),
            [
                {"batch_id": batch_id, "state": WAITING, "attempts": 0}
                | {"number": line.number, "start": line.start, "length": line.length}
                for line in lines
            ],
        )
    if results:
        connection.execute(insert(RESULT), [result_row(batch_id, result) for result in results])


def result_row(batch_id: str, result: Result) -> dict[str, Any]:
    return {"batch_id": batch_id, "number": result.number, "is_error": result.is_error, "line": result.line}


def forget_lines(connection: Connection, batch_id: str) -> None:
    connection.execute(delete(LINE).where(L.batch_id == batch_id))
    connection.execute(delete(RESULT).where(R.batch_id == batch_id))


def claim(connection: Connection, batch_id: str, now_us: int) -> Line | None:
    """Begins the next line; `None` where none waits, or the batch is not to go on."""
    goes_on = select(B.id).where(B.id == batch_id, B.status == "in_progress", B.expires_us > now_us)
    if connection.execute(goes_on).one_or_none() is None:
        return None
    waiting = select(L.number, L.start, L.length, L.attempts).where(L.batch_id == batch_id, L.state == WAITING)
    row = connection.execute(waiting.order_by(L.number).limit(1)).one_or_none()
    if row is None:
        return None
    line = Line(number=row.number, start=row.start, length=row.length, attempts=row.attempts + 1)
    connection.execute(of_line(batch_id, line.number).values(state=STARTED, attempts=line.attempts))
    return line


def give_back(connection: Connection, batch_id: str, number: int) -> None:
    """A line that was begun and could not be asked yet waits again, as if it had not been begun."""
    connection.execute(of_line(batch_id, number).values(state=WAITING, attempts=L.attempts - 1))


def of_line(batch_id: str, number: int) -> Any:
    return update(LINE).where(L.batch_id == batch_id, L.number == number, L.state != DONE)


def finish(connection: Connection, batch_id: str, result: Result) -> None:
    """Keeps what came of a line, once."""
    if connection.execute(of_line(batch_id, result.number).values(state=DONE)).rowcount:
        connection.execute(insert(RESULT).values(result_row(batch_id, result)))
        counter = B.failed if result.is_error else B.completed
        connection.execute(update(BATCH).where(B.id == batch_id).values({counter: counter + 1}))


def resume(connection: Connection, batch_id: str) -> Sequence[Line]:
    """Lines that were in flight when their process ended wait again; returns those that have had their chances."""
    started = (L.batch_id == batch_id) & (L.state == STARTED)
    connection.execute(update(LINE).where(started, L.attempts < MOST_ATTEMPTS).values(state=WAITING))
    rows = connection.execute(select(L.number, L.start, L.length, L.attempts).where(started))
    return [Line(**row._mapping) for row in rows]


def unfinished(connection: Connection, batch_id: str, after: int) -> Sequence[Line]:
    """Lines without a result, a page at a time, beginning after a number."""
    query = select(L.number, L.start, L.length, L.attempts).where(
        L.batch_id == batch_id, L.state != DONE, L.number > after
    )
    return [Line(**row._mapping) for row in connection.execute(query.order_by(L.number).limit(PAGE))]


def results(connection: Connection, batch_id: str) -> Iterator[Sequence[Result]]:
    """All results in the order of their lines, a page in memory at a time."""
    after = 0
    while True:
        query = select(R.number, R.is_error, R.line).where(R.batch_id == batch_id, R.number > after)
        page = [Result(**row._mapping) for row in connection.execute(query.order_by(R.number).limit(PAGE))]
        if not page:
            return
        yield page
        after = page[-1].number


def end(connection: Connection, id: str, values: dict[str, Any], written: Sequence[StoredFile]) -> None:
    """A batch is over: what it wrote are files, its lines are forgotten, and its job is done."""
    for file in written:
        files.add(connection, file)
    connection.execute(update(BATCH).where(B.id == id).values(row_of(values)))
    forget_lines(connection, id)
    jobs.remove(connection, id)


def count_open(connection: Connection, project_id: str) -> int:
    """How many batches of a project are not over."""
    query = select(func.count()).where(B.project_id == project_id, B.status.not_in(OVER))
    return connection.execute(query).scalar_one()


def prune(connection: Connection, before_us: int) -> int:
    """Forgets batches that ended and were made before; returns how many. Their files go by their own time."""
    old = delete(BATCH).where(B.status.in_(OVER), B.created_us < before_us)
    return connection.execute(old).rowcount
