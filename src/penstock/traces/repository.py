"""The SQL of traces. Functions of a connection; the caller decides the transaction and the thread."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    delete,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy import insert as insert_into
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.exc import IntegrityError

from penstock.storage.bulk import BulkInsert
from penstock.traces.names import AS_ASKED, filled
from penstock.traces.rows import TIE_BITS
from penstock.traces.span import (
    QUESTION,
    ContextUse,
    Feedback,
    ModelScore,
    SpanRecord,
    TraceDetail,
    TraceFilter,
    TraceRecord,
    TraceSummary,
)
from penstock.traces.tables import FEEDBACK, SPAN, TEXT_INDEX, TRACE

SUMMARY = [TRACE.c[name] for name in TraceSummary.__struct_fields__]
SPAN_COLUMNS = ["trace_key", "project_id", *SpanRecord.__struct_fields__]
ADD_TRACES = BulkInsert("trace", ["key", *TraceSummary.__struct_fields__])
ADD_SPANS = BulkInsert("span", SPAN_COLUMNS)
ADD_NEW_SPANS = BulkInsert("span", SPAN_COLUMNS, ignore_known=True)
ADD_QUESTIONS = BulkInsert("trace_text", ["rowid", "question"])
Values = tuple[Any, ...]
LAST_KEY = (1 << 63) - 1
MIN_INDEXED_TEXT = 3
"""The text index knows runs of three characters; shorter texts are looked for row by row."""


def insert(connection: Connection, records: Sequence[TraceRecord]) -> None:
    """Adds traces with their spans. A trace id that is there already gets the spans of the newcomer."""
    connection.exec_driver_sql("SAVEPOINT traces")
    try:
        add(connection, [record.row for record in records])
        ADD_SPANS(connection, [row for record in records for row in record.span_rows])
    except IntegrityError:
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT traces")
        merge(connection, records)
    connection.exec_driver_sql("RELEASE SAVEPOINT traces")


def merge(connection: Connection, records: Sequence[TraceRecord]) -> None:
    """Adds traces where some are known already, or started in the same microsecond as others."""
    known = keys_of(connection, records)
    used = used_keys(connection, records)
    fresh: list[Values] = []
    for record in records:
        identity = (record.project_id, record.id)
        if identity not in known:
            key = record.key
            if key in used:
                key = next_free(connection, key, used)
            used.add(key)
            known[identity] = key
            fresh.append((key, *record.row[1:]))
    add(connection, fresh)
    keys = [known[record.project_id, record.id] for record in records]
    spans = [(key, *row[1:]) for key, record in zip(keys, records, strict=True) for row in record.span_rows]
    ADD_NEW_SPANS(connection, spans)


def add(connection: Connection, rows: Sequence[Values]) -> None:
    """Adds traces, their spans not among them."""
    ADD_TRACES(connection, rows)
    ADD_QUESTIONS(connection, [(row[0], row[QUESTION]) for row in rows if row[QUESTION]])


def keys_of(connection: Connection, records: Sequence[TraceRecord]) -> dict[tuple[str, str], int]:
    """The keys of those traces that are stored already, by project and id."""
    ids = [record.id for record in records]
    projects = {record.project_id for record in records}
    rows = connection.execute(
        select(TRACE.c.project_id, TRACE.c.id, TRACE.c.key).where(
            TRACE.c.project_id.in_(projects), TRACE.c.id.in_(ids)
        )
    )
    return {(row.project_id, row.id): row.key for row in rows}


def used_keys(connection: Connection, records: Sequence[TraceRecord]) -> set[int]:
    return set(connection.execute(select(TRACE.c.key).where(TRACE.c.key.in_([r.key for r in records]))).scalars())


def next_free(connection: Connection, key: int, used: set[int]) -> int:
    """The first key from `key` on that no trace has: two processes may start a trace in the same microsecond."""
    while True:
        while key in used:
            key += 1
        last = end_of_run(connection, key)
        if last is None:
            return key
        key = last + 1


def end_of_run(connection: Connection, key: int) -> int | None:
    """The last key of the unbroken run of stored keys that `key` stands in; `None` where it is free."""
    after = TRACE.alias()
    broken = ~select(after.c.key).where(after.c.key == TRACE.c.key + 1).exists()
    stored = select(TRACE.c.key).where(TRACE.c.key == key)
    if connection.execute(stored).first() is None:
        return None
    run = select(TRACE.c.key).where(TRACE.c.key >= key, broken).order_by(TRACE.c.key).limit(1)
    last: int = connection.execute(run).scalar_one()
    return last


def page(
    connection: Connection, wanted: TraceFilter, limit: int, before: int | None
) -> list[tuple[int, TraceSummary]]:
    """Up to `limit` traces with their keys, newest first, that started before the key `before`."""
    query, key = filtered(select(TRACE.c.key, *SUMMARY), wanted)
    if before is not None:
        query = query.where(key < before)
    rows = connection.execute(query.order_by(key.desc()).limit(limit))
    return [(row.key, summary(row)) for row in rows]


def count(connection: Connection, wanted: TraceFilter, at_most: int) -> int:
    """How many traces match; counting stops at `at_most`."""
    query, _ = filtered(select(TRACE.c.key), wanted)
    return connection.execute(select(func.count()).select_from(query.limit(at_most).subquery())).scalar_one()


def filtered(query: Select[Any], wanted: TraceFilter) -> tuple[Select[Any], ColumnElement[int]]:
    """The query with its conditions, and the key to order and page by: the text index walks in its own order."""
    indexed = wanted.text is not None and len(wanted.text) >= MIN_INDEXED_TEXT
    key: ColumnElement[int] = TEXT_INDEX.c.rowid if indexed else TRACE.c.key
    query = query.where(TRACE.c.project_id == wanted.project_id, *conditions(wanted, key))
    if indexed and wanted.text:
        # The sign keeps SQLite from walking all traces and asking the text index about each.
        both = TEXT_INDEX.join(TRACE, TRACE.c.key == literal_column("+trace_text.rowid"))
        phrase = '"' + wanted.text.replace('"', '""') + '"'
        query = query.select_from(both).where(TEXT_INDEX.c.trace_text.match(phrase))
    elif wanted.text:
        query = query.where(TRACE.c.question.icontains(wanted.text, autoescape=True))
    return query, key


def first_key(time_us: int) -> int:
    """The first key of a time, or the first or last that SQLite can hold: years from 1 to 9999 are asked for."""
    return max(0, min(time_us << TIE_BITS, LAST_KEY))


def conditions(wanted: TraceFilter, key: ColumnElement[int]) -> list[ColumnElement[bool]]:
    """Constants are written out where an index covers only some rows: SQLite must see that it applies."""
    found: list[ColumnElement[bool]] = []
    if wanted.status is not None:
        found.append(TRACE.c.status == wanted.status)
        if wanted.status != "ok":
            found.append(TRACE.c.status != literal_column("'ok'"))
    if wanted.answered is not None:
        found.append(TRACE.c.answered == literal_column("1" if wanted.answered else "0"))
    if wanted.grounded_below is not None:
        found += [TRACE.c.grounded < wanted.grounded_below, TRACE.c.grounded < literal_column("1")]
    if wanted.feedback is not None:
        found.append(judged(wanted.feedback))
    if wanted.since_us is not None:
        found.append(key >= first_key(wanted.since_us))
    if wanted.until_us is not None:
        found.append(key < first_key(wanted.until_us))
    if wanted.min_duration_us is not None:
        found.append(TRACE.c.duration_us >= wanted.min_duration_us)
    for field, value in (
        (TRACE.c.model, wanted.model),
        (TRACE.c.release_id, wanted.release_id),
        (TRACE.c.session, wanted.session),
        (TRACE.c.user, wanted.user),
    ):
        if value is not None:
            found.append(field == value)
    return found


def judged(feedback: str) -> ColumnElement[bool]:
    if feedback == "none":
        return TRACE.c.score.is_(None)
    given = TRACE.c.score.is_not(None)
    if feedback == "any":
        return given
    return and_(given, TRACE.c.score > 0 if feedback == "positive" else TRACE.c.score < 0)


def summary(row: Row[Any]) -> TraceSummary:
    return TraceSummary(**{name: getattr(row, name) for name in TraceSummary.__struct_fields__})


def key_of(connection: Connection, project_id: str, trace_id: str) -> int | None:
    return connection.execute(
        select(TRACE.c.key).where(TRACE.c.project_id == project_id, TRACE.c.id == trace_id)
    ).scalar()


def detail(connection: Connection, project_id: str, trace_id: str) -> TraceDetail | None:
    """A trace with all that belongs to it."""
    row = connection.execute(
        select(TRACE.c.key, *SUMMARY).where(TRACE.c.project_id == project_id, TRACE.c.id == trace_id)
    ).first()
    if row is None:
        return None
    order = (SPAN.c.started_us, SPAN.c.number)
    rows = connection.execute(select(SPAN).where(SPAN.c.trace_key == row.key).order_by(*order))
    return TraceDetail(
        trace=summary(row),
        spans=whole([span_record(span) for span in rows]),
        feedback=tuple(feedback_of(connection, row.key, trace_id)),
    )


def whole(spans: Sequence[SpanRecord]) -> tuple[SpanRecord, ...]:
    """Spans with what they have in common with the root, which is stored once."""
    root = next((span for span in spans if span.parent_id is None), None)
    if root is None:
        return tuple(spans)
    known = root.values()
    return tuple(
        msgspec.structs.replace(span, attributes=msgspec.Raw(msgspec.json.encode(filled(span.values(), known))))
        if AS_ASKED.encode() in bytes(span.attributes)
        else span
        for span in spans
    )


def span_record(row: Row[Any]) -> SpanRecord:
    return SpanRecord(
        id=row.id,
        parent_id=row.parent_id,
        name=row.name,
        kind=row.kind,
        status=row.status,
        error=row.error,
        started_us=row.started_us,
        duration_us=row.duration_us,
        attributes=msgspec.Raw(row.attributes),
    )


def feedback_of(connection: Connection, key: int, trace_id: str) -> Iterable[Feedback]:
    rows = connection.execute(
        select(FEEDBACK).where(FEEDBACK.c.trace_key == key).order_by(FEEDBACK.c.created_us, FEEDBACK.c.name)
    )
    return [
        Feedback(
            trace_id=trace_id,
            score=row.score,
            name=row.name,
            user=row.user,
            comment=row.comment,
            created_us=row.created_us,
        )
        for row in rows
    ]


def put_feedback(connection: Connection, project_id: str, given: Feedback) -> bool:
    """Adds or replaces feedback and updates the trace's mean; false where the project has no such trace."""
    key = key_of(connection, project_id, given.trace_id)
    if key is None:
        return False
    identity = {"project_id": project_id, "trace_key": key, "name": given.name, "user": given.user}
    said = {"score": given.score, "comment": given.comment, "created_us": given.created_us}
    connection.execute(
        upsert(FEEDBACK)
        .values(**identity, **said)
        .on_conflict_do_update(index_elements=["project_id", "trace_key", "name", "user"], set_=said)
    )
    mean = select(func.avg(FEEDBACK.c.score)).where(FEEDBACK.c.trace_key == key).scalar_subquery()
    connection.execute(update(TRACE).where(TRACE.c.key == key).values(score=mean))
    return True


def scores(connection: Connection, project_id: str | None, since_us: int) -> list[ModelScore]:
    """The scores of each model that was judged, of one project or of all."""
    score = TRACE.c.score
    query = (
        select(TRACE.c.model, func.count(), func.avg(score), func.avg(score * score))
        .where(score.is_not(None), TRACE.c.key >= since_us << TIE_BITS)
        .group_by(TRACE.c.model)
        .order_by(TRACE.c.model)
    )
    if project_id is not None:
        query = query.where(TRACE.c.project_id == project_id)
    return [
        ModelScore(model, count, mean, max(0.0, squares - mean * mean))
        for model, count, mean, squares in connection.execute(query)
    ]


def context_use(connection: Connection, project_id: str | None, since_us: int, at_most: int) -> list[ContextUse]:
    """What the newest composed answers used of their passages, by app; `at_most` answers are looked at."""
    newest = (
        select(TRACE.c.key, TRACE.c.model)
        .where(TRACE.c.knowledge.is_not(None), TRACE.c.key >= since_us << TIE_BITS)
        .order_by(TRACE.c.key.desc())
        .limit(at_most)
    )
    if project_id is not None:
        newest = newest.where(TRACE.c.project_id == project_id)
    chosen = newest.subquery()
    spans = select(chosen.c.model, SPAN.c.attributes).join_from(chosen, SPAN, SPAN.c.trace_key == chosen.c.key)
    found: dict[str, ContextUse] = {}
    for app, attributes in connection.execute(spans.where(SPAN.c.name == "attribution")):
        used = msgspec.json.decode(attributes, type=PassagesUsed)
        known = found.get(app, ContextUse(app, 0, 0, 0, 0))
        found[app] = ContextUse(
            app,
            known.answers + 1,
            known.passages + used.passages,
            known.unused + used.passages - used.passages_used,
            known.unused_chars + used.unused_chars,
        )
    return sorted(found.values(), key=lambda each: each.app)


class PassagesUsed(msgspec.Struct, frozen=True):
    """What is read of the span in which an answer's sentences are matched to passages."""

    passages: int = 0
    passages_used: int = 0
    unused_chars: int = 0


def prune(connection: Connection, before_us: int, at_most: int) -> int:
    """Deletes up to `at_most` of the oldest traces that started before `before_us`; returns how many."""
    oldest = select(TRACE.c.key).where(TRACE.c.key < before_us << TIE_BITS).order_by(TRACE.c.key).limit(at_most)
    old = connection.execute(oldest).scalars().all()
    if not old:
        return 0
    # The text index does not hold the questions: it must be told which words to forget.
    forget = select(literal_column("'delete'"), TRACE.c.key, TRACE.c.question).where(
        TRACE.c.key.in_(old), TRACE.c.question != ""
    )
    columns = ["trace_text", "rowid", "question"]
    connection.execute(insert_into(TEXT_INDEX).from_select(columns, forget))
    connection.execute(delete(SPAN).where(SPAN.c.trace_key.in_(old)))
    connection.execute(delete(FEEDBACK).where(FEEDBACK.c.trace_key.in_(old)))
    connection.execute(delete(TRACE).where(TRACE.c.key.in_(old)))
    return len(old)
