"""Counts and leases in PostgreSQL: each step is one statement, so that none is seen half done.

`limit_count` has a row per counter (`windows` says what its numbers mean; `period` is "day", "week" or "month"
for calendar periods), `limit_holder` one per process with the time until which it is taken to live,
`limit_lease` what a process holds of a counter: `unused` is the most that may be left of what it took, `held`
all that it took and has not given back. The time is the database's, for the clocks of machines differ.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, text

from penstock.access.limits.leases import Change, Grant, Want
from penstock.access.limits.values import CONCURRENT, CounterSpec, CounterUsage, Crossing
from penstock.access.limits.windows import FOREVER, Count, window

CHANNEL = "penstock_limits"

REGISTER = text("""
INSERT INTO limit_count (id, spec, period, size_us, amount, warn, ends_us, previous, current, warned_us)
VALUES (:id, :spec, :period, :size_us, :amount, :warn,
        CASE WHEN :size_us = 0 AND :period = '' THEN :forever ELSE 0 END, 0, 0, 0)
ON CONFLICT (id) DO UPDATE SET spec = excluded.spec, amount = excluded.amount, warn = excluded.warn
""")

TAKE = text("""
WITH
wanted AS (
  SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:needs AS bigint[]), CAST(:extras AS bigint[]))
           AS wanted (id, need, extra)
),
locked AS MATERIALIZED (
  SELECT count.*, wanted.need, wanted.extra FROM limit_count AS count JOIN wanted USING (id)
  ORDER BY count.id FOR UPDATE OF count
),
timed AS (
  SELECT locked.*, moment.now_us,
    CASE WHEN size_us > 0 THEN moment.now_us - moment.now_us % size_us + size_us
         WHEN period = '' THEN :forever
         ELSE (extract(epoch FROM date_trunc(period, moment.at) + CAST('1 ' || period AS interval))
               * 1000000)::bigint
    END AS new_ends
  FROM locked, LATERAL (
    SELECT (extract(epoch FROM at) * 1000000)::bigint AS now_us, at
    FROM (SELECT clock_timestamp() AT TIME ZONE 'UTC' AS at) AS clock) AS moment
),
turned AS (
  SELECT id, need, extra, amount, warn, warned_us, now_us, size_us,
    CASE WHEN is_over THEN new_ends ELSE ends_us END AS ends_us,
    CASE WHEN NOT is_over THEN previous WHEN size_us > 0 AND ends_us = new_ends - size_us THEN current ELSE 0
    END AS previous,
    CASE WHEN is_over THEN 0 ELSE current END AS current
  FROM timed, LATERAL (
    SELECT ends_us <= now_us OR ends_us - new_ends > greatest(size_us, 1) AS is_over) AS state
),
roomy AS (
  SELECT *, greatest(0, amount - current - weight) AS room
  FROM turned, LATERAL (
    SELECT CASE WHEN size_us > 0 THEN ceil(previous::numeric * (ends_us - now_us) / size_us)::bigint ELSE 0 END
           AS weight) AS weighed
),
granted AS (
  SELECT *, least(need, room)
         + greatest(0, least(extra, (room - least(need, room)) / (2 * (SELECT count(*) + 1 FROM limit_holder))))
         AS granted
  FROM roomy
),
counted AS (
  UPDATE limit_count AS count SET
    ends_us = granted.ends_us, previous = granted.previous, current = granted.current + granted.granted,
    warned_us = CASE WHEN is_soft THEN granted.ends_us ELSE count.warned_us END
  FROM granted, LATERAL (
    SELECT granted.warn > 0 AND granted.current + granted.weight + granted.granted >= granted.warn AS is_soft) AS s
  WHERE count.id = granted.id
  RETURNING count.id, count.ends_us, count.previous, count.current, granted.granted, granted.need, granted.now_us,
            is_soft, is_soft AND granted.warned_us <> granted.ends_us AS is_crossed, granted.weight
),
leased AS (
  INSERT INTO limit_lease (count_id, holder_id, unused, held)
  SELECT id, :holder, granted, granted FROM counted WHERE granted > 0
  ON CONFLICT (count_id, holder_id) DO UPDATE
  SET unused = limit_lease.unused + excluded.unused, held = limit_lease.held + excluded.held
)
SELECT * FROM counted
""")

ELSEWHERE = text("""
SELECT lease.count_id, lease.holder_id
FROM limit_lease AS lease JOIN limit_holder AS holder ON holder.id = lease.holder_id
WHERE lease.count_id = ANY(:ids) AND lease.holder_id <> :holder AND lease.unused > 0
  AND holder.expires_us > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
""")
"""A statement of its own: it must see the leases of those that `TAKE` had to wait for."""

GIVE_UP = text("UPDATE limit_lease SET unused = 0 WHERE count_id = ANY(:ids) AND holder_id <> :holder")

CHANGE = text("""
WITH changed AS (
  SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:ends AS bigint[]), CAST(:deltas AS bigint[]))
           AS changed (id, ends_us, delta)
),
summed AS (
  SELECT id, ends_us, sum(delta)::bigint AS delta FROM changed GROUP BY id, ends_us
),
locked AS MATERIALIZED (
  SELECT count.id FROM limit_count AS count WHERE count.id IN (SELECT id FROM summed) ORDER BY count.id FOR UPDATE
)
UPDATE limit_count AS count SET
  current = current + coalesce((SELECT delta FROM summed WHERE summed.id = count.id
                                AND summed.ends_us = count.ends_us), 0),
  previous = previous + coalesce((SELECT delta FROM summed WHERE summed.id = count.id AND count.size_us > 0
                                  AND summed.ends_us = count.ends_us - count.size_us), 0)
FROM locked WHERE count.id = locked.id
""")

LEASE = text("""
UPDATE limit_lease SET held = held + :delta, unused = CASE WHEN :rests THEN 0 ELSE unused END
WHERE count_id = :id AND holder_id = :holder
""")

NOTIFY = text("SELECT pg_notify(:channel, :message)")

BEAT = text("""
INSERT INTO limit_holder (id, expires_us)
VALUES (:holder, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + :lives_us)
ON CONFLICT (id) DO UPDATE SET expires_us = excluded.expires_us
RETURNING xmax = 0
""")

BURY = text("""
WITH
dead AS (
  DELETE FROM limit_holder WHERE id IN (
    SELECT id FROM limit_holder
    WHERE id = :leaving OR expires_us < (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
    ORDER BY id FOR UPDATE SKIP LOCKED)
  RETURNING id
),
left_behind AS (
  DELETE FROM limit_lease WHERE holder_id IN (SELECT id FROM dead) RETURNING count_id, held
),
summed AS (
  SELECT count_id, sum(held)::bigint AS held FROM left_behind GROUP BY count_id
)
UPDATE limit_count AS count SET current = greatest(0, current - summed.held)
FROM summed WHERE count.id = summed.count_id AND count.size_us = 0 AND count.period = ''
""")

SWEEP = text("""
DELETE FROM limit_count AS count WHERE ends_us + size_us < (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
OR (current = 0 AND ends_us >= :forever AND NOT EXISTS (SELECT 1 FROM limit_lease WHERE count_id = count.id))
""")

TIME = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
ALL = text("SELECT spec, ends_us, previous, current FROM limit_count")


Held = dict[int, set[str]]
"""The processes that may hold what is missing, by the counter."""


class Taken(Struct, frozen=True):
    """What a take came to: the grants, which other processes may hold what is missing of them, and the counters
    that have just reached their warning. `unknown` have no row and must be registered first."""

    grants: tuple[Grant, ...]
    held: Held
    crossings: tuple[Crossing, ...]
    unknown: frozenset[int]


def register(connection: Connection, specs: Sequence[CounterSpec]) -> None:
    """Makes the rows of counters, or takes over their amounts."""
    for spec in sorted(specs, key=lambda each: each.id):
        size = window(spec.window).size_us
        connection.execute(
            REGISTER,
            {
                "id": spec.id,
                "spec": msgspec.json.encode(spec).decode(),
                "period": "" if size else spec.window,
                "size_us": size,
                "amount": spec.amount,
                "warn": spec.warn,
                "forever": FOREVER,
            },
        )


def take(connection: Connection, holder: str, wants: Sequence[Want], counted: dict[int, CounterSpec]) -> Taken:
    number_of = {counted[want.number].id: want.number for want in wants}
    given = {
        "holder": holder,
        "forever": FOREVER,
        "ids": list(number_of),
        "needs": [want.need for want in wants],
        "extras": [want.extra for want in wants],
    }
    rows = connection.execute(TAKE, given).all()
    grants = [
        Grant(
            number=number_of[row.id],
            amount=row.granted,
            ends_us=row.ends_us,
            lasts_us=max(0, row.ends_us - row.now_us),
            previous=row.previous,
            current=row.current,
            is_short=row.granted < row.need,
            is_soft=row.is_soft,
        )
        for row in rows
    ]
    crossings = [
        Crossing(counted[number_of[row.id]], row.current + row.weight, row.ends_us, row.now_us)
        for row in rows
        if row.is_crossed
    ]
    short = [counted[grant.number].id for grant in grants if grant.is_short]
    held: Held = {}
    for name, other in connection.execute(ELSEWHERE, {"ids": short, "holder": holder}) if short else ():
        held.setdefault(number_of[name], set()).add(other)
    return Taken(
        grants=tuple(replace(each, elsewhere="held") if each.number in held else each for each in grants),
        held=held,
        crossings=tuple(crossings),
        unknown=frozenset(number_of.values()) - {grant.number for grant in grants},
    )


def give_up_on(connection: Connection, holder: str, names: Sequence[str]) -> None:
    """Nobody but `holder` is taken to hold anything unused of these counters; it is counted all the same."""
    connection.execute(GIVE_UP, {"ids": list(names), "holder": holder})


def change(
    connection: Connection,
    holder: str,
    changes: Sequence[Change],
    counted: dict[int, CounterSpec],
    rested: Sequence[str],
) -> None:
    """Corrects counts. Of the counters `rested` the process holds nothing unused any more."""
    known = [each for each in changes if each.number in counted]
    if known:
        connection.execute(
            CHANGE,
            {
                "ids": [counted[each.number].id for each in known],
                "ends": [each.ends_us for each in known],
                "deltas": [each.delta for each in known],
            },
        )
    held: dict[str, int] = dict.fromkeys(rested, 0)
    for each in known:
        if counted[each.number].dimension == CONCURRENT:
            held[counted[each.number].id] = held.get(counted[each.number].id, 0) + each.delta
    for name in sorted(held):
        connection.execute(LEASE, {"id": name, "holder": holder, "delta": held[name], "rests": name in rested})


def notify(connection: Connection, message: str) -> None:
    """Tells every process that listens, when the transaction is committed."""
    connection.execute(NOTIFY, {"channel": CHANNEL, "message": message})


def beat(connection: Connection, holder: str, lives_us: int) -> bool:
    """Says that a process lives; whether it was taken for dead or is new, so that it holds nothing."""
    return bool(connection.execute(BEAT, {"holder": holder, "lives_us": lives_us}).scalar())


def bury(connection: Connection, leaving: str = "") -> None:
    """Takes back what dead processes were running, and `leaving`, which says that it ends.

    What they held of windows stays counted until those pass: how much of it was used is not known.
    """
    connection.execute(BURY, {"leaving": leaving})


def sweep(connection: Connection) -> None:
    """Deletes counts in which nothing is counted any more."""
    connection.execute(SWEEP, {"forever": FOREVER})


def usage(connection: Connection) -> list[CounterUsage]:
    found = []
    now_us = int(connection.execute(TIME).scalar_one())
    for row in connection.execute(ALL):
        spec = msgspec.json.decode(row.spec, type=CounterSpec)
        span = window(spec.window)
        _, ends = span.bounds(now_us)
        if row.ends_us > now_us:
            count = Count(span, spec.amount, row.ends_us, row.previous, row.current)
        else:
            follows = span.size_us and row.ends_us == ends - span.size_us
            count = Count(span, spec.amount, ends, row.current if follows else 0, 0)
        found.append(CounterUsage(spec, count.used(now_us), count.ends_us))
    return found
