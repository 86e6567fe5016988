"""The SQL that finds waste. Functions of a connection; each reads the calls of a time, of one project or of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, Row, text

from penstock.access.costs.values import CostFilter
from penstock.access.ledger.tables import HOUR_US, SLOT_BITS

# The statements are made of what stands here, never of values.
# ruff: noqa: S608

Rows = Sequence[Row[Any]]


class Found(Struct, frozen=True):
    """What the ledger shows of a time; each list as the function of its name says."""

    repeated: Rows
    prefixes: Rows
    lengths: Rows
    hours: Rows
    averages: Rows
    apps: Rows


class Bounds(Struct, frozen=True):
    """What counts as waste: how soon something comes again, and how many calls are enough to tell."""

    repeated_us: int
    prefix_us: int
    calls: int


def find(connection: Connection, wanted: CostFilter, bounds: Bounds) -> Found:
    return Found(
        repeated(connection, wanted, bounds.repeated_us),
        prefixes(connection, wanted, bounds.prefix_us),
        lengths(connection, wanted, bounds.calls),
        hours(connection, wanted),
        averages(connection, wanted),
        apps(connection, wanted),
    )


CALLS = """FROM call c JOIN dimension d ON d.id = c.dimension_id
    WHERE c.id >= :first AND c.id < :end AND (CAST(:project AS TEXT) IS NULL OR d.project_id = :project)"""


def values(wanted: CostFilter) -> dict[str, Any]:
    return {
        "first": wanted.since_us << SLOT_BITS,
        "end": wanted.until_us << SLOT_BITS,
        "project": wanted.project_id,
    }


def repeated(connection: Connection, wanted: CostFilter, within_us: int) -> Rows:
    """Calls that were answered by a model although the same was asked, in the same project, shortly before:
    `project_id`, `app`, `model`, `calls`, `cost`, `unpriced`."""
    statement = f"""
        SELECT project_id, app, model, count(*) AS calls, coalesce(sum(cost_nanos), 0) AS cost,
            sum(CASE WHEN cost_nanos IS NULL THEN 1 ELSE 0 END) AS unpriced
        FROM (
            SELECT d.project_id, d.app, d.model, c.cost_nanos, c.started_us,
                lag(c.started_us) OVER (PARTITION BY d.project_id, d.model, c.digest ORDER BY c.id) AS before_us
            {CALLS} AND c.digest IS NOT NULL AND c.status = 'ok'
        ) AS asked
        WHERE before_us IS NOT NULL AND started_us - before_us <= :within
        GROUP BY project_id, app, model ORDER BY cost DESC, calls DESC, project_id, app, model"""
    return connection.execute(text(statement), values(wanted) | {"within": within_us}).all()


def prefixes(connection: Connection, wanted: CostFilter, within_us: int) -> Rows:
    """Calls whose long first message came shortly before, too, and was read anew: `project_id`, `app`, `model`,
    `calls`, `chars`."""
    statement = f"""
        SELECT project_id, app, model, count(*) AS calls, sum(prefix_chars) AS chars
        FROM (
            SELECT d.project_id, d.app, d.model, c.prefix_chars, c.started_us, c.cached_input,
                lag(c.started_us) OVER (PARTITION BY d.project_id, d.model, c.prefix ORDER BY c.id) AS before_us
            {CALLS} AND c.prefix IS NOT NULL AND c.status = 'ok'
        ) AS asked
        WHERE before_us IS NOT NULL AND started_us - before_us <= :within AND coalesce(cached_input, 0) = 0
        GROUP BY project_id, app, model ORDER BY chars DESC, project_id, app, model"""
    return connection.execute(text(statement), values(wanted) | {"within": within_us}).all()


def lengths(connection: Connection, wanted: CostFilter, at_least: int) -> Rows:
    """Limits on the answer, and how long answers got under them: `project_id`, `app`, `model`, `max_output`,
    `calls`, `longest`, `unused` (nano-dollars that were set aside for them and never needed)."""
    output = "coalesce(c.output, 0) + coalesce(c.reasoning, 0)"
    statement = f"""
        SELECT d.project_id, d.app, d.model, c.max_output, count(*) AS calls, max({output}) AS longest,
            coalesce(sum(c.reserved_nanos - c.cost_nanos), 0) AS unused
        {CALLS} AND c.max_output IS NOT NULL AND c.output IS NOT NULL AND c.status = 'ok'
        GROUP BY d.project_id, d.app, d.model, c.max_output
        HAVING count(*) >= :least AND max({output}) * 2 <= c.max_output
        ORDER BY calls DESC, d.project_id, d.app, d.model"""
    return connection.execute(text(statement), values(wanted) | {"least": at_least}).all()


def hours(connection: Connection, wanted: CostFilter) -> Rows:
    """The hours with calls in them, the busiest first: `hour`, `calls`, `cost`."""
    statement = """
        SELECT s.hour, sum(s.calls) AS calls, sum(s.cost_nanos) AS cost
        FROM hourly s JOIN dimension d ON d.id = s.dimension_id
        WHERE s.hour >= :first AND s.hour < :end AND (CAST(:project AS TEXT) IS NULL OR d.project_id = :project)
        GROUP BY s.hour ORDER BY calls DESC, s.hour"""
    asked = {
        "first": wanted.since_us // HOUR_US,
        "end": -(-wanted.until_us // HOUR_US),
        "project": wanted.project_id,
    }
    return connection.execute(text(statement), asked).all()


def averages(connection: Connection, wanted: CostFilter) -> Rows:
    """What a call that a caller made cost, by the model that was asked: `model`, `calls`, `cost`."""
    statement = f"""
        SELECT d.model, count(*) AS calls, sum(c.cost_nanos) AS cost
        {CALLS} AND d.app = '' AND c.status = 'ok' AND c.cost_nanos IS NOT NULL
        GROUP BY d.model ORDER BY d.model"""
    return connection.execute(text(statement), values(wanted)).all()


def apps(connection: Connection, wanted: CostFilter) -> Rows:
    """The models that apps call, the one with the most calls first: `app`, `model`, `calls`."""
    statement = f"""
        SELECT d.app, d.model, count(*) AS calls {CALLS} AND d.app <> '' AND d.operation = 'chat'
        GROUP BY d.app, d.model ORDER BY calls DESC, d.app, d.model"""
    return connection.execute(text(statement), values(wanted)).all()
