"""Lines at the targets of a model: who would wait in vain is told on arrival, background work before callers."""

import asyncio

from penstock.gateway.routing.line import Line


def line(service: float = 2.0, places: int = 1) -> Line:
    made = Line()
    made.places = places
    made.served(service)
    return made


async def waiting(made: Line, seconds: float, *, background: bool = False) -> asyncio.Task[bool]:
    task = asyncio.create_task(made.wait(0.0, seconds, background=background))
    await asyncio.sleep(0)
    return task


async def test_the_wait_is_predicted_from_what_is_ahead() -> None:
    made = line(service=2.0, places=2)
    assert made.predicted(background=False) == 1.0
    first = await waiting(made, 60)
    second = await waiting(made, 60, background=True)
    assert made.predicted(background=False) == 2.0, "background work stands behind"
    assert made.predicted(background=True) == 3.0
    made.wake()
    made.wake()
    assert await asyncio.gather(first, second) == [True, True]


async def test_who_would_wait_in_vain_is_refused_on_arrival() -> None:
    made = line(service=2.0)
    kept = await waiting(made, 60)
    assert await made.wait(0.0, 3.0, background=False) is False, "two of two seconds each"
    assert made.shed == 1
    made.wake()
    assert await kept


async def test_nothing_is_known_of_a_target_that_never_answered() -> None:
    made = Line()
    task = await waiting(made, 60)
    made.wake()
    assert await task


async def test_callers_come_first_and_background_work_that_cannot_make_it_any_more_leaves() -> None:
    made = line(service=2.0)
    batch = [await waiting(made, 5, background=True) for _ in range(2)]
    caller = await waiting(made, 5)
    assert await batch[1] is False, "at once, and not by its timeout"
    made.wake()
    assert await caller is True
    assert not batch[0].done()
    made.wake()
    assert await batch[0] is True
    assert (made.shed, len(made)) == (1, 0)


async def test_a_place_given_to_one_who_left_goes_to_the_next() -> None:
    made = line()
    gone, next_one = await waiting(made, 60), await waiting(made, 60)
    made.wake()
    gone.cancel()
    assert await next_one is True
    assert len(made) == 0
