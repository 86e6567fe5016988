"""One budget for all retries: never more than a tenth of the requests, or a few."""

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.clock import ManualClock
from penstock.gateway.routing.budget import FLOOR, SECONDS, SHARE, RetryBudget


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["request", "take", "spend", "wait", "long"]), max_size=400))
def test_no_sequence_takes_more_than_the_share_or_the_floor(events: list[str]) -> None:
    clock = ManualClock()
    budget = RetryBudget(clock)
    seconds: list[tuple[int, str]] = []
    for event in events:
        now = int(clock.monotonic())
        if event == "request":
            budget.saw_request(clock.monotonic())
            seconds.append((now, "request"))
        elif event == "wait":
            clock.advance(0.7)
        elif event == "long":
            clock.advance(4.0)
        else:
            within = [what for second, what in seconds if second > now - SECONDS]
            extras, requests = within.count("extra"), within.count("request")
            if event == "spend":
                budget.spend()
                seconds.append((now, "extra"))
            else:
                allowed = extras + 1 <= max(FLOOR, SHARE * requests)
                assert budget.take() is allowed
                if allowed:
                    seconds.append((now, "extra"))
            within = [what for second, what in seconds if second > now - SECONDS]
            assert budget.used == (within.count("extra"), within.count("request"))


def test_a_tenth_of_what_came_within_the_window() -> None:
    clock = ManualClock()
    budget = RetryBudget(clock)
    assert [budget.take() for _ in range(FLOOR + 1)] == [True] * FLOOR + [False]
    for _ in range(200):
        budget.saw_request(clock.monotonic())
    assert sum(budget.take() for _ in range(50)) == 20 - FLOOR
    assert budget.denied == 1 + 50 - 17
    clock.advance(SECONDS)
    assert budget.used == (0, 0)
    assert budget.take()


def test_what_must_be_made_leaves_less_for_the_others() -> None:
    clock = ManualClock()
    budget = RetryBudget(clock)
    for _ in range(FLOOR + 5):
        budget.spend()
    assert not budget.take()
    assert budget.used == (FLOOR + 5, 0)
