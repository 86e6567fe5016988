"""What is read from and written to `gaps.db`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, insert, select, update

from penstock.ids import new_id
from penstock.knowledge.gaps.clusters import Group, Groups, name_of, telling_terms
from penstock.knowledge.gaps.tables import GAP, QUESTION
from penstock.knowledge.gaps.values import (
    Gap,
    GapQuestion,
    GapState,
    Known,
    NewQuestion,
    OpenQuestion,
    Place,
)
from penstock.knowledge.values import Reader

G, Q = GAP.c, QUESTION.c
LARGEST_GROUP = 500
"""Questions of a gap that are looked at to name it; the newest."""


def unknown(connection: Connection, project_id: str, trace_ids: Sequence[str]) -> set[str]:
    """Those of these traces whose questions are in no gap yet."""
    wanted = select(Q.trace_id).where(Q.project_id == project_id, Q.trace_id.in_(trace_ids))
    return set(trace_ids) - set(connection.execute(wanted).scalars())


def groups(connection: Connection, place: Place) -> Groups:
    """Every gap of the place as a group, dismissed and answered ones too: what comes again belongs to them."""
    rows = connection.execute(
        select(Q.gap_id, Q.vector).join(GAP, G.id == Q.gap_id).where(*at(place)).order_by(Q.gap_id)
    ).all()
    found: dict[str, Group] = {}
    for gap_id, data in rows:
        vector = np.frombuffer(data, "<f4")
        if gap_id in found:
            found[gap_id].add(vector)
        else:
            found[gap_id] = Group(gap_id, vector, 1)
    return Groups(list(found.values()))


def add(
    connection: Connection, place: Place, questions: Sequence[tuple[NewQuestion, NDArray[np.float32]]], now_us: int
) -> int:
    """Puts questions into gaps, new ones where they are like no other; returns how many gaps were touched.

    A gap that was answered opens again; one that was dismissed stays so.
    """
    known = groups(connection, place)
    touched: dict[str, None] = {}
    for question, vector in questions:
        group = known.nearest(vector)
        if group is None:
            group = known.begin(new_id("gap"), vector)
            connection.execute(insert(GAP).values(new_gap(place, group.id, question, now_us)))
        else:
            group.add(vector)
        connection.execute(
            insert(QUESTION).values(
                project_id=place.project_id,
                trace_id=question.trace_id,
                gap_id=group.id,
                text=question.text,
                reason=question.reason,
                tags=None if question.tags is None else msgspec.json.encode(question.tags).decode(),
                vector=np.ascontiguousarray(vector, dtype="<f4").tobytes(),
                asked_us=question.asked_us,
            )
        )
        touched[group.id] = None
    again = (G.id.in_(touched), G.state == "answered")
    connection.execute(update(GAP).where(*again).values(state="open", closed_us=None, closed_in=None))
    for gap_id in touched:
        rename(connection, place, gap_id)
    return len(touched)


def new_gap(place: Place, gap_id: str, question: NewQuestion, now_us: int) -> dict[str, Any]:
    return {
        "id": gap_id,
        "project_id": place.project_id,
        "knowledge": place.knowledge,
        "fingerprint": place.fingerprint,
        "name": question.text,
        "terms": "[]",
        "state": "open",
        "note": "",
        "created_us": now_us,
    }


def rename(connection: Connection, place: Place, gap_id: str) -> None:
    """Names a gap after a question that stands for all, and the words that tell them from others."""
    known = questions_of(connection, gap_id)
    others = connection.execute(
        select(G.name).where(*at(place), G.id != gap_id).order_by(G.id.desc()).limit(LARGEST_GROUP)
    ).scalars()
    terms = telling_terms(known.texts, list(others))
    name = name_of(known.texts, known.vectors, terms)
    connection.execute(
        update(GAP).where(G.id == gap_id).values(name=name, terms=msgspec.json.encode(terms).decode())
    )


def questions_of(connection: Connection, gap_id: str) -> Known:
    rows = connection.execute(
        select(Q.text, Q.vector).where(Q.gap_id == gap_id).order_by(Q.asked_us.desc()).limit(LARGEST_GROUP)
    ).all()
    return Known(tuple(row.text for row in rows), np.stack([np.frombuffer(row.vector, "<f4") for row in rows]))


def listed(connection: Connection, wanted: Sequence[ColumnElement[bool]], limit: int) -> list[Gap]:
    """Gaps, those that are asked most first."""
    counted = (
        select(
            Q.gap_id,
            func.count().label("asked"),
            func.sum(Q.answered_in.is_(None).cast(Q.asked_us.type)).label("open"),
            func.min(Q.asked_us).label("first_us"),
            func.max(Q.asked_us).label("last_us"),
        )
        .group_by(Q.gap_id)
        .subquery()
    )
    c = counted.c
    rows = connection.execute(
        select(GAP, c.asked, c.open, c.first_us, c.last_us)
        .join(counted, c.gap_id == G.id)
        .where(*wanted)
        .order_by(c.open.desc(), c.asked.desc(), c.last_us.desc(), G.id)
        .limit(limit)
    ).all()
    reasons = reasons_of(connection, [row.id for row in rows])
    return [gap_of(row, reasons.get(row.id, {})) for row in rows]


def reasons_of(connection: Connection, gap_ids: Sequence[str]) -> dict[str, dict[str, int]]:
    rows = connection.execute(
        select(Q.gap_id, Q.reason, func.count()).where(Q.gap_id.in_(gap_ids)).group_by(Q.gap_id, Q.reason)
    )
    found: dict[str, dict[str, int]] = {}
    for gap_id, reason, count in rows:
        found.setdefault(gap_id, {})[reason] = count
    return found


def gap_of(row: Row[Any], reasons: dict[str, int]) -> Gap:
    return Gap(
        id=row.id,
        knowledge=row.knowledge,
        name=row.name,
        terms=msgspec.json.decode(row.terms, type=tuple[str, ...]),
        state=row.state,
        count=row.asked,
        open=row.open,
        reasons=reasons,
        first_us=row.first_us,
        last_us=row.last_us,
        closed_us=row.closed_us,
        closed_in=row.closed_in,
        note=row.note,
    )


def questions(connection: Connection, project_id: str, gap_id: str, limit: int) -> list[GapQuestion]:
    """The questions of a gap, newest first."""
    rows = connection.execute(
        select(Q.trace_id, Q.text, Q.reason, Q.asked_us, Q.answered_in)
        .where(Q.project_id == project_id, Q.gap_id == gap_id)
        .order_by(Q.asked_us.desc(), Q.trace_id)
        .limit(limit)
    )
    return [GapQuestion(**row._mapping) for row in rows]


def to_ask(connection: Connection, knowledge: str, limit: int) -> list[OpenQuestion]:
    """Questions of open gaps that are not answered yet, of all projects: the newest of every gap first."""
    turn = func.row_number().over(partition_by=Q.gap_id, order_by=(Q.asked_us.desc(), Q.trace_id)).label("turn")
    waiting = (
        select(Q.project_id, Q.trace_id, Q.gap_id, Q.text, Q.reason, Q.asked_us, Q.tags, turn)
        .join(GAP, G.id == Q.gap_id)
        .where(G.knowledge == knowledge, G.state == "open", Q.answered_in.is_(None))
        .subquery()
    )
    rows = connection.execute(select(waiting).order_by(waiting.c.turn, waiting.c.gap_id).limit(limit))
    return [
        OpenQuestion(
            project_id=row.project_id,
            trace_id=row.trace_id,
            gap_id=row.gap_id,
            text=row.text,
            reason=row.reason,
            asked_us=row.asked_us,
            reader=Reader(None if row.tags is None else msgspec.json.decode(row.tags, type=tuple[str, ...])),
        )
        for row in rows
    ]


def answered(connection: Connection, question: OpenQuestion, generation: int) -> None:
    connection.execute(
        update(QUESTION)
        .where(Q.project_id == question.project_id, Q.trace_id == question.trace_id)
        .values(answered_in=generation)
    )


def close_answered(connection: Connection, knowledge: str, generation: int, now_us: int) -> int:
    """Closes the open gaps whose questions are all answered; returns how many."""
    left = select(Q.gap_id).where(Q.gap_id == G.id, Q.answered_in.is_(None)).exists()
    closed = connection.execute(
        update(GAP)
        .where(G.knowledge == knowledge, G.state == "open", ~left)
        .values(state="answered", closed_us=now_us, closed_in=generation)
    )
    return closed.rowcount


def set_state(connection: Connection, gap: Gap, state: GapState, note: str, now_us: int) -> None:
    """A person's word on a gap. One that is opened again has all its questions to answer."""
    closed_us = now_us if state == "dismissed" else None
    values = {"state": state, "note": note, "closed_us": closed_us, "closed_in": None}
    connection.execute(update(GAP).where(G.id == gap.id).values(values))
    if state == "open":
        connection.execute(update(QUESTION).where(Q.gap_id == gap.id).values(answered_in=None))


def prune(connection: Connection, before_us: int) -> None:
    """Deletes questions that were asked before then, and the gaps that are empty without them."""
    connection.execute(delete(QUESTION).where(Q.asked_us < before_us))
    empty = ~select(Q.gap_id).where(Q.gap_id == G.id).exists()
    connection.execute(delete(GAP).where(empty))


def at(place: Place) -> tuple[ColumnElement[bool], ...]:
    return (
        G.project_id == place.project_id,
        G.knowledge == place.knowledge,
        G.fingerprint == place.fingerprint,
    )


def of(
    project_id: str, knowledge: str, state: GapState | None, gap_id: str | None = None
) -> tuple[ColumnElement[bool], ...]:
    """The conditions of a list, or of one gap."""
    conditions = [and_(G.project_id == project_id, G.knowledge == knowledge)]
    if state is not None:
        conditions.append(G.state == state)
    if gap_id is not None:
        conditions.append(G.id == gap_id)
    return tuple(conditions)


def named(project_id: str, knowledge: str, gap_id: str) -> tuple[ColumnElement[bool], ...]:
    """The conditions of one gap."""
    return (*of(project_id, knowledge, None), G.id == gap_id)
