"""When a target is left out, and how it comes back."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.gateway.routing.health import DECAY_SECONDS, LONGER, RECENT, EjectRule, Health

RULE = EjectRule(3, 10.0)


def fail(health: Health, now: float = 0.0, *, times: int = 1, probe: bool = False, alone: bool = False) -> None:
    for _ in range(times):
        health.failed("server_error", now, RULE, probe=probe, alone=alone)


def test_failures_in_a_row_eject_and_a_probe_restores() -> None:
    health = Health()
    fail(health, times=2)
    health.succeeded(probe=False)
    fail(health, times=2)
    assert (health.state(0), health.takes(0)) == ("healthy", True)
    fail(health)
    assert (health.state(1), health.takes(1), health.ejections) == ("ejected", False, 1)
    assert (health.state(10), health.takes(10)) == ("probing", True)
    health.probing = True
    assert not health.takes(10), "one probe at a time"
    health.succeeded(probe=False)
    assert health.state(10) == "probing", "an answer that was on its way before proves nothing"
    health.probing = False
    health.succeeded(probe=True)
    assert (health.state(10), health.takes(10)) == ("healthy", True)


def test_each_probe_that_fails_doubles_the_time() -> None:
    health = Health()
    fail(health, times=3)
    now, lengths = 0.0, []
    for _ in range(5):
        now = health.ejected_until
        fail(health, now, probe=True)
        lengths.append(health.ejected_until - now)
    assert lengths == [20, 40, 80, 80, 80]
    assert max(lengths) == LONGER * RULE.seconds
    fail(health, now + 1, probe=True)
    assert health.ejections == 6, "a request that was sent anyway does not lengthen it"


def test_more_than_half_of_the_last_ones_failed() -> None:
    health, last = Health(), Health()
    for number in range(RECENT + 2):
        for each in (health, last):
            if number % 5 in (0, 2):
                each.succeeded(probe=False)
            else:
                fail(each, alone=each is last)
    assert health.ejected
    assert not last.ejected, "the last one that is well is left out only when it always fails"


def test_a_refusal_of_the_request_is_no_failure_of_the_target() -> None:
    health = Health()
    for kind in ("bad_request", "context_length", "content_filter", "rate_limit"):
        for _ in range(RECENT):
            health.failed(kind, 0.0, RULE, probe=False, alone=False)
    assert not health.ejected
    assert health.failures["bad_request"] == RECENT
    fail(health, times=3)
    health.failed("bad_request", 10.0, RULE, probe=True, alone=False)
    assert not health.ejected, "a probe that is refused was understood"


def test_a_pause_that_was_asked_for() -> None:
    health = Health()
    health.rest(7.0)
    health.rest(5.0)
    assert (health.state(6), health.takes(6)) == ("resting", False)
    assert health.takes(7)


def test_the_average_follows_a_peak_at_once_and_forgets_it_slowly() -> None:
    health = Health()
    health.opened(1.0, 0.0)
    health.opened(5.0, 0.0)
    assert health.average == 5.0
    health.opened(1.0, DECAY_SECONDS)
    assert health.average is not None
    assert math.isclose(health.average, 1 + 4 / math.e)
    assert health.percentile(0.5) == 1.0
    assert health.percentile(0.99) == 5.0
    assert Health().percentile(0.5) is None


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.sampled_from([0.0, 1.0, 15.0])), max_size=120))
def test_the_last_one_is_left_out_only_when_it_always_fails(events: list[tuple[int, bool, float]]) -> None:
    """Whatever happens to three targets: while all are left out, each has failed every time of late."""
    healths = [Health() for _ in range(3)]
    in_row = [0, 0, 0]
    now = 0.0
    for which, succeeds, seconds in events:
        now += seconds
        health = healths[which]
        probe = health.ejected
        if succeeds:
            health.succeeded(probe=probe)
            in_row[which] = 0
            assert not health.ejected
        else:
            alone = all(each.ejected for each in healths if each is not health)
            health.failed("connection", now, RULE, probe=probe, alone=alone)
            in_row[which] += 1
        well = [each for each in healths if not each.ejected]
        assert well or max(in_row) >= RULE.after
        if health.ejected and not well and not probe:
            assert in_row[which] >= RULE.after
