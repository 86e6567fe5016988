"""Limits over requests: which apply, all or nothing of what they count, and the settlement."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from penstock.access.limits.base import WARNED, Counter, LimitStore
from penstock.access.limits.headers import Headers, kinds, remaining, warnings
from penstock.access.limits.refusal import last_to_free, refusal, refuse_unpriced
from penstock.access.limits.rules import NoOwnLimits, OwnLimits, Rule, is_own, rule
from penstock.access.limits.values import DIMENSIONS, NANOS, REQUESTS, TOKENS, Amounts, Ask, CounterUsage, Part
from penstock.access.limits.windows import window
from penstock.config.limits import LimitSettings
from penstock.errors import RateLimited
from penstock.exchange import Principal

MOST_PLANS = 20_000
MOST_USERS = 20_000
MOST_COUNTERS = 100_000
SWEEP_US = 60_000_000
UNKNOWN_COST = 1
"""Nano-dollars: what may cost something does not pass a budget that is used up."""
ENDS = attrgetter("ends")


class Counted:
    """Counters that requests are taken from together. `kinds` are those that headers tell of.

    `settled` are those whose count may change when a request is over: it stays a request.
    """

    __slots__ = ("counters", "kinds", "settled")

    def __init__(self, counters: tuple[Counter, ...]) -> None:
        self.counters = counters
        self.kinds = kinds(counters)
        self.settled = tuple(each for each in counters if each.dimension != REQUESTS)


class Case(NamedTuple):
    """Whose requests for which model, and what of them is counted."""

    principal: Principal
    model: str
    part: Part


class Plan:
    """What the requests of one case are counted in, worked out once.

    `counted` is what every such request has; `user_rules` have more for each end user. `limits` says whether there
    is any of that, `tokens` and `money` whether an estimate of them is needed.
    """

    __slots__ = ("case", "counted", "limits", "money", "priced_only", "tokens", "user_rules", "users")

    def __init__(self, case: Case, rules: Sequence[Rule], counters: tuple[Counter, ...]) -> None:
        self.case = case
        self.counted = Counted(counters)
        self.user_rules = tuple(
            each for each in rules if each.settings.per == "user" and any(each.specs(*case, user=""))
        )
        self.users: dict[str, Counted] = {}
        counted = {counter.dimension for counter in counters}
        of_users = [each.settings for each in self.user_rules]
        self.limits = bool(counters or of_users)
        self.tokens = TOKENS in counted or any(each.tokens is not None for each in of_users)
        self.money = NANOS in counted or any(each.usd is not None for each in of_users)
        self.priced_only = any(each.settings.unpriced == "refuse" for each in rules)


class Limits:
    """All limits of a server. `own` gives those that come with a principal's key and project.

    `denied` counts refused requests by the dimension that lacked.
    """

    def __init__(
        self, store: LimitStore, settings: Iterable[LimitSettings] = (), own: OwnLimits | None = None
    ) -> None:
        self.store = store
        self._own = own or NoOwnLimits()
        self._own_version = self._own.version
        self._rules = [rule(each) for each in settings]
        self._plans: dict[tuple[str, str, str, Part], Plan] = {}
        self._swept = store.now_us()
        self.denied = [0] * len(DIMENSIONS)

    def use(self, settings: Iterable[LimitSettings]) -> None:
        """Another configuration, from the next request on; what is counted the same goes on."""
        self._rules = [rule(each) for each in settings]
        self._plans = {}

    def plan(self, principal: Principal, model: str, part: Part) -> Plan:
        """What a request is counted in."""
        if self._own.version != self._own_version:
            self._own_version = self._own.version
            self._plans = {}
        key = (principal.project_id, principal.key_id or principal.name, model, part)
        found = self._plans.get(key)
        if found is None:
            if len(self._plans) >= MOST_PLANS:
                self._plans = {}
            found = self._plans[key] = self._make(Case(principal, model, part))
        return found

    async def reserve(self, ask: Ask) -> Reservation:
        """Takes what the request may use from every limit that applies, or from none.

        Raises `RateLimited` or `BudgetExceeded`, with the time to come back in `retry_after` and the headers that
        say what is left.
        """
        plan = self.plan(ask.principal, ask.model, ask.part)
        taken = self.take(plan, ask.user, ask.tokens, ask.cost_nanos)
        return taken if isinstance(taken, Reservation) else await taken

    def take(
        self, plan: Plan, user: str | None, tokens: int, cost_nanos: int | None
    ) -> Reservation | Coroutine[Any, Any, Reservation]:
        """The same without waiting; where that is not enough, what waits for whoever keeps the counts."""
        counted = self._with_user(plan, user or "") if plan.user_rules else plan.counted
        if cost_nanos is None:
            cost_nanos = UNKNOWN_COST
            if plan.priced_only:
                refuse_unpriced(counted.counters, plan.case.model)
        amounts = (1, tokens, cost_nanos, 1)
        taken = self.store.take(counted.counters, amounts)
        if taken >= 0:
            return self._obtain(counted, amounts)
        return Reservation(self.store, counted, amounts, taken == WARNED)

    async def _obtain(self, counted: Counted, amounts: Amounts) -> Reservation:
        taken = await self.store.obtain(counted.counters, amounts)
        if taken >= 0:
            raise self._refusal(counted, counted.counters[taken], amounts)
        return Reservation(self.store, counted, amounts, taken == WARNED)

    async def usage(self, project_id: str | None = None) -> list[CounterUsage]:
        """What is used of every limit; of one project only, where one is given.

        A limit that has counted nothing yet stands there once, without a scope.
        """
        running = {each.text for each in self._rules}
        counted = [each for each in await self.store.usage() if each.spec.rule in running or is_own(each.spec)]
        begun = {(each.spec.rule, each.spec.dimension, each.spec.window) for each in counted}
        now = self.store.now_us()
        counted += [
            CounterUsage(spec, 0, window(spec.window).bounds(now)[1])
            for each in self._rules
            for spec in each.blank()
            if (spec.rule, spec.dimension, spec.window) not in begun
        ]
        seen = [each for each in counted if project_id is None or each.spec.project_id == project_id]
        return sorted(seen, key=lambda each: (each.spec.rule, each.spec.scope, each.spec.dimension))

    def _make(self, case: Case) -> Plan:
        principal, model, _ = case
        own = [rule(each.settings, each.owner) for each in self._own.of(principal)]
        rules = [each for each in (*self._rules, *own) if each.applies(principal, model)]
        shared = (each for each in rules if each.settings.per != "user")
        return Plan(case, rules, tuple(self.store.counter(spec) for each in shared for spec in each.specs(*case)))

    def _with_user(self, plan: Plan, user: str) -> Counted:
        found = plan.users.get(user)
        if found is None:
            if len(plan.users) >= MOST_USERS:
                plan.users = {}
            if len(self.store) >= MOST_COUNTERS:
                if self._sweep():
                    return self._with_user(self.plan(*plan.case), user)
                user = "(others)"  # so many users at once are counted together rather than not at all
            specs = (spec for each in plan.user_rules for spec in each.specs(*plan.case, user=user))
            counters = (*plan.counted.counters, *(self.store.counter(spec) for spec in specs))
            found = plan.users[user] = Counted(counters)
        return found

    def _sweep(self) -> bool:
        """Drops idle counters, unless that was just done; plans that were made before are of no use then."""
        now = self.store.now_us()
        if now - self._swept < SWEEP_US:
            return False
        self._swept = now
        self.store.forget_idle()
        self._plans = {}
        return True

    def _refusal(self, counted: Counted, lacking: Counter, amounts: Amounts) -> RateLimited:
        now = self.store.now_us()
        lacking = last_to_free(counted.counters, amounts, now) or lacking
        self.denied[lacking.dimension] += 1
        error = refusal(lacking, amounts[lacking.dimension], now)
        error.headers = (*remaining(counted.kinds, now), *warnings(counted.counters, now))
        return error


class Reservation:
    """What one request has taken. Settle it when it is over, whatever came of it."""

    __slots__ = ("_amounts", "_counted", "_ends", "_open", "_soft", "_store")

    def __init__(self, store: LimitStore, counted: Counted, amounts: Amounts, soft: bool) -> None:
        self._store = store
        self._counted = counted
        self._ends = list(map(ENDS, counted.settled))
        self._amounts = amounts
        self._soft = soft
        self._open = True

    def settle(self, tokens: int | None, cost_nanos: int | None) -> None:
        """Puts what was really used in the place of what was reserved; `None` is just that. Once is enough.

        The request itself stays counted.
        """
        if not self._open:
            return
        self._open = False
        _, reserved_tokens, reserved_cost, _ = self._amounts
        more_tokens = 0 if tokens is None else tokens - reserved_tokens
        more_cost = 0 if cost_nanos is None else cost_nanos - reserved_cost
        self._store.settle(self._counted.settled, self._ends, (0, more_tokens, more_cost, -1))

    def headers(self) -> Headers:
        """What is left of the tightest limits, and of which limits a warning share is passed."""
        now = self._store.now_us()
        found = remaining(self._counted.kinds, now)
        return found + warnings(self._counted.counters, now) if self._soft else found
