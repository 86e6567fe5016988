"""Limits over requests: which apply, all or nothing of what they count, and the settlement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from penstock.access.limits.base import WARNED, Counter, LimitStore
from penstock.access.limits.headers import Headers, remaining, warnings
from penstock.access.limits.refusal import refusal, unpriced
from penstock.access.limits.rules import NoOwnLimits, OwnLimits, Rule, is_own, rule
from penstock.access.limits.values import DIMENSIONS, NANOS, TOKENS, Amounts, Ask, CounterUsage, Part
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


class Plan:
    """What one principal's requests for one model are counted in, worked out once.

    `counters` are those that every such request has; `user_rules` have one for each end user besides. `tokens` and
    `money` say whether an estimate of them is needed.
    """

    __slots__ = ("counters", "money", "priced_only", "tokens", "user_rules", "users")

    def __init__(self, counters: tuple[Counter, ...], user_rules: tuple[Rule, ...], rules: list[Rule]) -> None:
        self.counters = counters
        self.user_rules = user_rules
        self.users: dict[str, tuple[Counter, ...]] = {}
        counted = {counter.dimension for counter in counters}
        limits = [each.settings for each in user_rules]
        self.tokens = TOKENS in counted or any(limit.tokens is not None for limit in limits)
        self.money = NANOS in counted or any(limit.usd is not None for limit in limits)
        self.priced_only = any(each.settings.unpriced == "refuse" for each in rules)

    def __bool__(self) -> bool:
        return bool(self.counters or self.user_rules)


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
        """What a request is counted in. It is false where nothing limits it."""
        if self._own.version != self._own_version:
            self._own_version = self._own.version
            self._plans = {}
        key = (principal.project_id, principal.key_id or principal.name, model, part)
        found = self._plans.get(key)
        if found is None:
            if len(self._plans) >= MOST_PLANS:
                self._plans = {}
            found = self._plans[key] = self._make(principal, model, part)
        return found

    async def reserve(self, ask: Ask) -> Reservation:
        """Takes what the request may use from every limit that applies, or from none.

        Raises `RateLimited` or `BudgetExceeded`, with the time to come back in `retry_after` and the headers that
        say what is left.
        """
        plan = self.plan(ask.principal, ask.model, ask.part)
        counters = self._with_user(plan, ask) if plan.user_rules else plan.counters
        if ask.cost_nanos is None and plan.priced_only:
            self._refuse_unpriced(counters, ask)
        amounts = (1, ask.tokens, UNKNOWN_COST if ask.cost_nanos is None else ask.cost_nanos, 1)
        taken = self.store.take(counters, amounts)
        if taken >= 0:
            taken = await self.store.obtain(counters, amounts)
        if taken >= 0:
            raise self._refusal(counters, counters[taken], amounts)
        return Reservation(self.store, counters, amounts, soft=taken == WARNED)

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

    def _make(self, principal: Principal, model: str, part: Part) -> Plan:
        own = [rule(each.settings, each.owner) for each in self._own.of(principal)]
        rules = [each for each in (*self._rules, *own) if each.applies(principal, model)]
        fixed = tuple(
            self.store.counter(spec)
            for each in rules
            if each.settings.per != "user"
            for spec in each.specs(principal, model, None, part)
        )
        by_user = (each for each in rules if each.settings.per == "user")
        return Plan(fixed, tuple(each for each in by_user if [*each.specs(principal, model, "", part)]), rules)

    def _with_user(self, plan: Plan, ask: Ask) -> tuple[Counter, ...]:
        user = ask.user or ""
        found = plan.users.get(user)
        if found is None:
            if len(plan.users) >= MOST_USERS:
                plan.users = {}
            if len(self.store) >= MOST_COUNTERS:
                if self._sweep():
                    return self._with_user(self.plan(ask.principal, ask.model, ask.part), ask)
                user = "(others)"  # so many users at once are counted together rather than not at all
            specs = (
                spec for each in plan.user_rules for spec in each.specs(ask.principal, ask.model, user, ask.part)
            )
            found = plan.users[user] = (*plan.counters, *(self.store.counter(spec) for spec in specs))
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

    def _refuse_unpriced(self, counters: Sequence[Counter], ask: Ask) -> None:
        for counter in counters:
            if counter.dimension == NANOS:
                raise unpriced(counter.spec, ask.model)

    def _refusal(self, counters: Sequence[Counter], lacking: Counter, amounts: Amounts) -> RateLimited:
        now = self.store.now_us()
        self.denied[lacking.dimension] += 1
        error = refusal(lacking, amounts[lacking.dimension], now)
        error.headers = (*remaining(counters, now), *warnings(counters, now))
        return error


class Reservation:
    """What one request has taken. Settle it when it is over, whatever came of it."""

    __slots__ = ("_amounts", "_counters", "_ends", "_open", "_soft", "_store")

    def __init__(self, store: LimitStore, counters: Sequence[Counter], amounts: Amounts, *, soft: bool) -> None:
        self._store = store
        self._counters = counters
        self._ends = [counter.ends for counter in counters]
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
        self._store.settle(self._counters, self._ends, (0, more_tokens, more_cost, -1))

    def headers(self) -> Headers:
        """What is left of the tightest limits, and of which limits a warning share is passed."""
        now = self._store.now_us()
        found = remaining(self._counters, now)
        return found + warnings(self._counters, now) if self._soft else found
