"""Places of the whole server: background work is refused first, and told when one is likely to be free."""

import pytest
from prometheus_client import generate_latest

from penstock.gateway.admission import Admission
from penstock.gateway.meter import Meter
from penstock.gateway.stages.admit import Admit


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_background_work_leaves_the_last_places_to_callers() -> None:
    admission = Admission(8)
    assert [admission.enter("batch") for _ in range(7)] == [0, 0, 0, 0, 0, 0, 6]
    assert [admission.enter("live") for _ in range(3)] == [0, 0, 8]
    assert admission.shed == {"interactive": 1, "background": 1}


def test_when_to_come_back_follows_how_quickly_requests_end() -> None:
    clock = Clock()
    admission = Admission(100, clock)
    for _ in range(100):
        assert admission.enter("live") == 0
    assert admission.retry_after(100) == 1.0, "nothing has ended yet"
    for _ in range(60):
        clock.now += 2.0
        admission.leave()
        assert admission.enter("live") == 0
    assert admission.retry_after(100) == pytest.approx(2.0, rel=0.01)
    assert admission.retry_after(75) == pytest.approx(52.0, rel=0.01), "26 must end first"
    clock.now += 500
    assert admission.retry_after(100) == 60.0, "a server that stands still promises nothing soon"


def test_a_smaller_server_after_a_reload_refuses_until_it_has_room() -> None:
    admission = Admission(4)
    for _ in range(4):
        admission.enter("live")
    admission.limit = 2
    assert admission.enter("live") == 2
    for _ in range(3):
        admission.leave()
    assert admission.enter("live") == 0


def test_the_figure_in_flight_is_that_of_the_whole_server() -> None:
    """Also of what began under the configuration before."""
    admission, meter = Admission(8), Meter()
    Admit(admission, meter)
    admission.enter("live")
    admission.enter("live")
    Admit(admission, meter)
    assert b"penstock_requests_in_flight 2.0" in generate_latest(meter.registry)
    admission.leave()
    assert b"penstock_requests_in_flight 1.0" in generate_latest(meter.registry)
