"""Whatever comes in whatever order: limits hold, and nothing leaks."""

import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from penstock.access.limits import Ask, Limits, Reservation
from penstock.access.limits.local import LocalStore
from penstock.access.limits.values import CONCURRENT, NANOS, REQUESTS, TOKENS
from penstock.clock import ManualClock
from penstock.config.limits import LimitSettings
from penstock.errors import RateLimited
from penstock.exchange import Principal

T = TypeVar("T")

RULES = [
    LimitSettings(requests=6, window="1m"),
    LimitSettings(tokens=50, window="10s", per="key"),
    LimitSettings(usd=1e-7, window="day", per="all"),
    LimitSettings(concurrent=3),
]
LIMIT = {REQUESTS: 6, TOKENS: 50, NANOS: 100, CONCURRENT: 3}
CALLERS = [Principal(project_id=project, key_id=f"{project}{key}", name=key) for project in "ab" for key in "xy"]


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of work that must not wait for anything."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("it waits")


class Machine(RuleBasedStateMachine):
    """Requests of two projects with two keys each, on a clock that jumps, in a process that is restarted."""

    reservations = Bundle("reservations")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "limits.counts"
        self.clock = ManualClock(1_700_000_000_000_000)
        self.store = LocalStore(self.path, clock=self.clock)
        self.limits = Limits(self.store, RULES)
        self.running = {"a": 0, "b": 0}
        self.admitted: list[tuple[int, str, str, int, int]] = []
        """Time, project, key, tokens and money of each request that was admitted, as reserved."""
        self.overdrawn = False
        """Whether something used more than it had reserved: then a count may stand above its limit."""

    @rule(
        target=reservations,
        caller=st.sampled_from(CALLERS),
        tokens=st.integers(0, 60),
        cost=st.integers(0, 110),
    )
    def ask(self, caller: Principal, tokens: int, cost: int) -> tuple[Reservation, Principal] | None:
        before = self.used()
        try:
            reservation = at_once(
                self.limits.reserve(Ask(principal=caller, model="m", tokens=tokens, cost_nanos=cost))
            )
        except RateLimited:
            assert {name: used for name, used in self.used().items() if used} == {
                name: used for name, used in before.items() if used
            }, "a refusal takes nothing"
            return None
        self.running[caller.project_id] += 1
        self.admitted.append((self.clock.now_us(), caller.project_id, caller.key_id, tokens, cost))
        if not self.overdrawn:
            for (*_, dimension), used in self.used().items():
                assert used <= LIMIT[dimension]
        return reservation, caller

    @rule(
        reserved=consumes(reservations), tokens=st.none() | st.integers(0, 80), cost=st.none() | st.integers(0, 150)
    )
    def settle(self, reserved: tuple[Reservation, Principal] | None, tokens: int | None, cost: int | None) -> None:
        if reserved is None:
            return
        reservation, caller = reserved
        self.overdrawn = self.overdrawn or (tokens or 0) > 0 or (cost or 0) > 0
        reservation.settle(tokens, cost)
        reservation.settle(0, 0)
        self.running[caller.project_id] -= 1

    @rule(seconds=st.sampled_from([0.001, 1, 4, 9, 31, 61, 3600, 86_400]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def forget_what_is_idle(self) -> None:
        self.store.forget_idle()
        self.limits.use(RULES)

    @invariant()
    def no_stretch_holds_more_requests_than_the_limit(self) -> None:
        counted: dict[tuple[str, int], int] = {}
        for time, project, *_ in self.admitted:
            place = (project, time // 60_000_000)
            counted[place] = counted.get(place, 0) + 1
        assert max(counted.values(), default=0) <= LIMIT[REQUESTS]

    @invariant()
    def what_runs_is_counted_exactly(self) -> None:
        counted = {scope: used for (_, scope, dimension), used in self.used().items() if dimension == CONCURRENT}
        assert {project: counted.get(project, 0) for project in "ab"} == self.running

    @invariant()
    def nothing_is_counted_below_nothing(self) -> None:
        assert all(used >= 0 for used in self.used().values())

    @rule()
    def be_killed(self) -> None:
        """What a process that begins now with a copy of the file knows, is what this one knows."""
        copy = self.path.with_name("copy")
        copy.write_bytes(self.path.read_bytes())
        store = LocalStore(copy, clock=self.clock)
        counted = {each.spec.id: each.used for each in store.all_usage() if each.used}
        at_once(store.close())
        assert counted == {
            each.spec.id: each.used
            for each in self.store.all_usage()
            if each.used and each.spec.dimension != CONCURRENT
        }

    def used(self) -> dict[tuple[str, str, int], int]:
        """By project, scope and dimension."""
        found = at_once(self.limits.usage())
        return {(each.spec.project_id, each.spec.scope, each.spec.dimension): each.used for each in found}

    def teardown(self) -> None:
        at_once(self.store.close())
        self.folder.cleanup()


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestInvariants = Machine.TestCase
