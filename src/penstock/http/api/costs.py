"""GET /api/v1/costs: what was spent, on what, by whom; and the waste in it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from penstock.access.advice.advice import Advice, read_advice
from penstock.access.costs.reading import read_costs
from penstock.access.costs.repository import Question
from penstock.access.costs.values import CostFilter, CostReport, CostRow, Group, Step, Sums
from penstock.access.ledger import Ledger
from penstock.access.ledger.tables import DAY_US
from penstock.access.principal import seen_project
from penstock.errors import InvalidRequest, Unavailable
from penstock.gateway.evidence import evidence
from penstock.gateway.services import Services
from penstock.http.api.traces import Moment, Words, microseconds
from penstock.http.routes import ApiRoute, Description, principal_of, read_query, reply

GROUPS: tuple[Group, ...] = get_args(Group)
FILTERS: tuple[Group, ...] = tuple(group for group in GROUPS if group not in ("project", "day"))
USUAL_DAYS = 30
FIRST_SECOND = datetime.min.replace(tzinfo=UTC).timestamp()
LAST_SECOND = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()


class CostQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which calls, and how they are told apart.

    `by` are groups with commas between them: project, key, app, model, target, provider, operation, purpose,
    release, user, day. `since` is inclusive and `until` exclusive, both rounded outwards to hours of UTC, or to
    days where users are told apart; without them it is the last 30 days. `every` makes a series. The other filters
    take one name each. `project` is for the owner of the server, who sees all projects without it; others see their
    own.
    """

    by: Words | None = None
    since: Moment | None = None
    until: Moment | None = None
    every: Step | None = None
    project: Words | None = None
    key: Words | None = None
    app: Words | None = None
    model: Words | None = None
    target: Words | None = None
    provider: Words | None = None
    operation: Words | None = None
    purpose: Words | None = None
    release: Words | None = None
    user: Words | None = None

    def question(self, project_id: str | None) -> Question:
        """Raises `InvalidRequest` for a group that there is not."""
        by = groups(self.by)
        if self.every and "day" in by:
            raise InvalidRequest("Days are told apart twice.", hint="Leave 'day' out of by.", param="by")
        equal = [(group, getattr(self, group)) for group in FILTERS]
        return Question(
            wanted=CostFilter(
                project_id=project_id,
                **between(self.since, self.until),
                equal=tuple((group, value) for group, value in equal if value is not None),
            ),
            by=by,
            step=self.every,
        )


class CostWire(Struct, frozen=True, kw_only=True):
    """One group: `by` names it, `start` is when its hour or day of a series begins. The rest is as in `Sums`."""

    by: dict[str, str]
    start: datetime | None
    sums: Sums


class CostsWire(Struct, frozen=True, kw_only=True):
    """The dearest group first, or by time. Money is in nano-dollars: a billionth of a US dollar."""

    object: Literal["costs"] = "costs"
    since: datetime
    until: datetime
    data: tuple[CostWire, ...]
    total: Sums
    truncated: bool


class AdviceQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`days` back from now are looked at; `project` as for costs."""

    days: Annotated[int, Meta(ge=1, le=366)] = 7
    project: Words | None = None


class AdviceList(Struct, frozen=True, kw_only=True):
    """The most worth first. `saves_nanos` is for the time that was looked at, null where it is worth no money."""

    object: Literal["list"] = "list"
    since: datetime
    until: datetime
    data: tuple[Advice, ...]


def groups(text: str | None) -> tuple[Group, ...]:
    """`project,model` as groups. Raises `InvalidRequest`."""
    found: list[Group] = []
    for name in (text or "").split(","):
        group = next((each for each in GROUPS if each == name.strip()), None)
        if group is None and name.strip():
            raise InvalidRequest(
                f"Costs are not told apart by {name.strip()!r}.", hint=f"Use {', '.join(GROUPS)}.", param="by"
            )
        if group is not None and group not in found:
            found.append(group)
    return tuple(found)


def between(since: datetime | None, until: datetime | None) -> dict[str, int]:
    end = microseconds(until) or time.time_ns() // 1000
    start = microseconds(since)
    return {"since_us": end - USUAL_DAYS * DAY_US if start is None else start, "until_us": end}


def ledger_of(request: Request) -> Ledger:
    services: Services = request.app.state.services
    if services.ledger is None:
        raise Unavailable("This server keeps no ledger.")
    return services.ledger


def costs_wire(report: CostReport) -> CostsWire:
    return CostsWire(
        since=moment(report.since_us),
        until=moment(report.until_us),
        data=tuple(cost_wire(row) for row in report.rows),
        total=report.total,
        truncated=report.truncated,
    )


def cost_wire(row: CostRow) -> CostWire:
    start = None if row.start_us is None else moment(row.start_us)
    return CostWire(by=row.group, start=start, sums=row.sums)


def moment(us: int) -> datetime:
    """The nearest time that there is a date for: a period may begin before the year 1 or end after 9999."""
    return datetime.fromtimestamp(max(FIRST_SECOND, min(us / 1e6, LAST_SECOND)), UTC)


async def get_costs(request: Request) -> Response:
    query = read_query(request, CostQuery)
    question = query.question(seen_project(principal_of(request), query.project))
    return reply(costs_wire(await read_costs(ledger_of(request), question)))


async def get_advice(request: Request) -> Response:
    services: Services = request.app.state.services
    query = read_query(request, AdviceQuery)
    project_id = seen_project(principal_of(request), query.project)
    now = time.time_ns() // 1000
    wanted = CostFilter(project_id=project_id, since_us=now - query.days * DAY_US, until_us=now)
    known = await evidence(services, project_id, wanted.since_us)
    found = await read_advice(ledger_of(request), wanted, known)
    return reply(AdviceList(since=moment(wanted.since_us), until=moment(now), data=found))


ROUTES = [
    ApiRoute(
        "GET",
        "/api/v1/costs",
        get_costs,
        Description(summary="What was spent, on what, by whom.", role="viewer", query=CostQuery, answer=CostsWire),
    ),
    ApiRoute(
        "GET",
        "/api/v1/costs/advice",
        get_advice,
        Description(
            summary="Waste in the traffic, with the money each is worth.",
            role="viewer",
            query=AdviceQuery,
            answer=AdviceList,
        ),
    ),
]
