"""A machine that is paid by the hour: calls share the time in which it is busy."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.clock import ManualClock
from penstock.exchange import Chunk, Exchange, Usage
from penstock.gateway.machine import BusyTime, MachineTime


@given(steps=st.lists(st.tuples(st.integers(0, 4), st.integers(1, 1000)), max_size=60))
def test_the_shares_of_all_calls_are_the_busy_time(steps: list[tuple[int, int]]) -> None:
    """Whatever calls come and go: nothing of the time is charged twice, and nothing of it to nobody."""
    clock = ManualClock(0)
    busy = BusyTime(clock.monotonic)
    running: dict[int, float] = {}
    charged = expected = 0.0
    for call, milliseconds in [*steps, *((call, 1) for call in range(5))]:
        if call in running and (len(running) > 3 or milliseconds % 2):
            charged += busy.share(running.pop(call))
            busy.leave()
        elif call not in running and (call, milliseconds) in steps:
            running[call] = busy.enter()
        expected += milliseconds / 1000 if running else 0
        clock.advance(milliseconds / 1000)
    charged += sum(busy.share(entered) for entered in running.values())
    assert charged == pytest.approx(expected)


class Half:
    """Answers in two pieces; `during` happens between them."""

    name = "half"

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock

    async def answer(self, exchange: Exchange) -> AsyncIterator[Chunk]:
        yield Chunk(text="a")
        self.clock.advance(1800)
        yield Chunk(text="b", finish_reason="stop", usage=Usage(3, 2))

    async def close(self) -> None:
        pass


async def test_a_call_costs_its_share_of_the_hour() -> None:
    clock = ManualClock()
    machine = MachineTime(Half(clock), per_hour=4.0, busy=BusyTime(clock.monotonic))
    exchange = Exchange(id="req", trace_id="0" * 32)
    chunks = [chunk async for chunk in machine.answer(exchange)]
    assert [chunk.text for chunk in chunks] == ["a", "b"]
    assert chunks[0].usage is None
    assert chunks[1].usage == Usage(3, 2, cost_nanos=2_000_000_000)

    left = machine.answer(exchange)
    await anext(left)
    await left.aclose()  # what a client that left had of it is paid by nobody, and blocks nobody
    again = [chunk async for chunk in machine.answer(exchange)]
    assert again[-1].usage == Usage(3, 2, cost_nanos=2_000_000_000)
