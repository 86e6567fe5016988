"""What every keeper of limits does: in one process, for several, and for several machines."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from penstock.access.limits import Ask, Limits, Reservation
from penstock.access.limits.base import LimitStore
from penstock.access.limits.coordinated import CoordinatorStore
from penstock.access.limits.coordinator import Coordinator
from penstock.access.limits.local import LocalStore
from penstock.config.limits import LimitSettings
from penstock.errors import RateLimited
from penstock.exchange import Principal


async def ask(limits: Limits, tokens: int = 10, cost: int = 10, user: str | None = None) -> Reservation:
    caller = Principal(project_id="a", key_id="key_ci", name="ci")
    return await limits.reserve(Ask(principal=caller, model="m", tokens=tokens, cost_nanos=cost, user=user))


async def passes(limits: Limits, **fields: object) -> bool:
    try:
        await ask(limits, **fields)  # type: ignore[arg-type]
    except RateLimited:
        return False
    return True


async def passed(limits: list[Limits], wanted: int) -> int:
    """How many of `wanted` requests pass that are made at once, over all these processes' limits."""
    return sum(await asyncio.gather(*(passes(limits[number % len(limits)]) for number in range(wanted))))


async def soon(condition: Callable[[], Awaitable[bool]]) -> bool:
    """Whether a condition comes true: what one process gives back has a way to go."""
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110 — it happens in another process
            await asyncio.sleep(0.005)
    return True


Open = Callable[[], LimitStore]


class LimitStoreContract:
    """`open_store` gives a store of one more process; those of one test share their counts."""

    @pytest_asyncio.fixture
    async def sharing(self, open_store: Open) -> Callable[..., list[Limits]]:
        def share(*settings: LimitSettings) -> list[Limits]:
            return [Limits(open_store(), settings) for _ in range(2)]

        return share

    @pytest.mark.parametrize(
        "settings",
        [
            LimitSettings(requests=100, window="1h"),
            LimitSettings(tokens=1000, window="day"),
            LimitSettings(usd=1e-6, window="month"),
            LimitSettings(concurrent=100),
        ],
        ids=["requests", "tokens", "money", "concurrency"],
    )
    async def test_five_hundred_at_once_against_a_hundred(self, sharing, settings) -> None:
        assert await passed(sharing(settings), 500) == 100

    async def test_one_after_the_other_all_pass(self, sharing) -> None:
        limits = sharing(LimitSettings(requests=50, window="1h"))
        assert [await passed([limits[number % 2]], 5) for number in range(12)] == [5] * 10 + [0] * 2

    async def test_what_one_gives_back_another_may_use(self, sharing) -> None:
        one, other = sharing(LimitSettings(tokens=1000, window="1h"))
        reservation = await ask(one, tokens=900)
        assert not await passes(other, tokens=500)
        reservation.settle(100, None)
        assert await soon(lambda: passes(other, tokens=900))
        assert not await passes(one, tokens=1)

    async def test_what_has_ended_frees_its_place(self, sharing) -> None:
        one, other = sharing(LimitSettings(concurrent=2))
        first, second = await ask(one), await ask(one)
        assert not await passes(other)
        first.settle(0, 0)
        assert await soon(lambda: passes(other))
        assert not await passes(one)
        second.settle(0, 0)
        assert await soon(lambda: passes(one))

    async def test_all_or_nothing(self, sharing) -> None:
        one, other = sharing(
            LimitSettings(requests=4, window="1h"), LimitSettings(per="key", tokens=100, window="1h")
        )
        assert await passes(one, tokens=90)
        for _ in range(5):
            assert not await passes(one, tokens=50)
            assert not await passes(other, tokens=50)
        assert await passes(other, tokens=4)
        assert await passes(one, tokens=4)
        assert await passes(other, tokens=1)
        assert not await passes(one, tokens=1)

    async def test_what_took_more_than_it_reserved_counts_whole(self, sharing) -> None:
        one, other = sharing(LimitSettings(tokens=1000, window="1h"))
        (await ask(one, tokens=10)).settle(995, None)

        async def is_known() -> bool:
            return sum(each.used for each in await other.usage()) == 995

        assert await soon(is_known)
        assert not await passes(other, tokens=10)
        assert await passes(other, tokens=5)

    async def test_a_refusal_says_what_is_used(self, sharing) -> None:
        one, other = sharing(LimitSettings(requests=3, window="month"))
        assert await passed([one], 3) == 3
        with pytest.raises(RateLimited) as caught:
            await ask(other)
        assert caught.value.message == "Project 'a' has used 3 of 3 requests this month."
        assert dict(caught.value.headers)[b"x-ratelimit-remaining-requests"] == b"0"
        assert caught.value.retry_after

    async def test_what_is_used_is_known_to_all(self, sharing) -> None:
        one, other = sharing(LimitSettings(requests=100, tokens=10_000, window="day"))
        for _ in range(10):
            (await ask(one, tokens=50)).settle(20, None)
        await ask(other, tokens=100)
        for limits in (one, other):

            async def is_known(limits: Limits = limits) -> bool:
                return {each.spec.dimension: each.used for each in await limits.usage("a")} == {0: 11, 1: 300}

            assert await soon(is_known)
            assert await limits.usage("b") == []

    async def test_one_who_stops_waiting_leaves_nothing_behind(self, sharing) -> None:
        one, other = sharing(LimitSettings(requests=1000, concurrent=10, window="1h"))
        for delay in range(20):
            waiting = asyncio.ensure_future(ask(one))
            for _ in range(delay):
                await asyncio.sleep(0)
            if not waiting.done():
                waiting.cancel()
            for done in await asyncio.gather(waiting, return_exceptions=True):
                if isinstance(done, Reservation):
                    done.settle(0, 0)

        async def is_free() -> bool:
            return sum(each.used for each in await one.usage() if not each.spec.window) == 0

        assert await soon(is_free)
        assert await passed([one, other], 20) == 10

    async def test_raising_a_limit_counts_at_once(self, sharing) -> None:
        one, other = sharing(LimitSettings(requests=5, window="day"))
        assert await passed([one, other], 20) == 5
        for limits in (one, other):
            limits.use([LimitSettings(requests=8, window="day")])
        assert await passed([one, other], 20) == 3


class TestLocalStore(LimitStoreContract):
    @pytest_asyncio.fixture
    async def open_store(self, tmp_path: Path) -> AsyncIterator[Open]:
        store = LocalStore(tmp_path / "limits.counts")
        yield lambda: store
        await store.close()


class TestCoordinatorStore(LimitStoreContract):
    @pytest_asyncio.fixture
    async def open_store(self, tmp_path: Path) -> AsyncIterator[Open]:
        store = LocalStore(tmp_path / "limits.counts")
        coordinator = Coordinator(tmp_path / "limits.sock", store)
        await coordinator.start_serving()
        async with AsyncExitStack() as stack:

            def open_one() -> LimitStore:
                worker = CoordinatorStore(tmp_path / "limits.sock")
                stack.push_async_callback(worker.close)
                return worker

            yield open_one
        await coordinator.close()
        await store.close()


class TestPostgresStore(LimitStoreContract):
    @pytest_asyncio.fixture
    async def open_store(self, postgres_url: str) -> AsyncIterator[Open]:
        from penstock.access.limits.postgres import PostgresStore

        async with AsyncExitStack() as stack:

            def open_one() -> LimitStore:
                store = PostgresStore(postgres_url)
                stack.push_async_callback(store.close)
                return store

            yield open_one
