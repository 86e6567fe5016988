"""Limits over real processes: exact while they run, and whatever happens to one of them."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from support.limit_processes import Worker

from penstock.access.limits import Ask, Limits
from penstock.access.limits.coordinated import CoordinatorStore
from penstock.access.limits.coordinator import Coordinator
from penstock.access.limits.local import LocalStore
from penstock.access.limits.windows import window
from penstock.clock import SYSTEM_CLOCK
from penstock.config.limits import LimitSettings
from penstock.errors import Unavailable
from penstock.exchange import Principal

DAY = LimitSettings(requests=100, window="day")


class Supervisor:
    """The process of the tests coordinates, as the one does that starts the workers of a server."""

    def __init__(self, folder: Path, patience: float) -> None:
        self.socket = folder / "limits.sock"
        self.store = LocalStore(folder / "limits.counts")
        self.coordinator = Coordinator(self.socket, self.store, patience)

    async def worker(self, settings: LimitSettings) -> Worker:
        return await asyncio.to_thread(Worker, str(self.socket), settings)

    async def passed(self, worker: Worker, requests: int) -> int:
        return await asyncio.to_thread(worker.passed, requests)

    async def ended(self, worker: Worker, requests: int) -> tuple[int, int]:
        return await asyncio.to_thread(worker.ended, requests)

    def used(self) -> int:
        return sum(each.used for each in self.coordinator.usage())

    def counted(self) -> int:
        """With what workers hold and have not used."""
        return sum(each.used for each in self.store.all_usage())


@asynccontextmanager
async def coordinating(folder: Path, patience: float) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(folder, patience)
    await supervisor.coordinator.start_serving()
    yield supervisor
    await supervisor.coordinator.close()
    await supervisor.store.close()


@pytest_asyncio.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    """One that waits for a worker longer than any test takes."""
    async with coordinating(tmp_path, patience=600.0) as supervisor:
        yield supervisor


@pytest_asyncio.fixture
async def impatient(tmp_path: Path) -> AsyncIterator[Supervisor]:
    async with coordinating(tmp_path, patience=0.3) as supervisor:
        yield supervisor


@pytest.mark.parametrize(
    "settings", [DAY, LimitSettings(usd=1e-6), LimitSettings(concurrent=100)], ids=["requests", "money", "at once"]
)
async def test_two_processes_with_five_hundred_calls_pass_a_hundred(
    supervisor: Supervisor, settings: LimitSettings
) -> None:
    one, other = await supervisor.worker(settings), await supervisor.worker(settings)
    async with one, other:
        passed = await asyncio.gather(supervisor.passed(one, 250), supervisor.passed(other, 250))
        assert sum(passed) == 100
        assert await supervisor.passed(one, 10) + await supervisor.passed(other, 10) == 0
        assert supervisor.used() == (1000 if settings.usd else 100)


async def test_many_small_bursts_pass_exactly_the_limit(supervisor: Supervisor) -> None:
    """Leases grow while there is much left, and go back to whoever needs the last of it."""
    settings = LimitSettings(requests=1000, window="day")
    one, other = await supervisor.worker(settings), await supervisor.worker(settings)
    async with one, other:
        total = 0
        for _ in range(20):
            total += sum(await asyncio.gather(supervisor.passed(one, 7), supervisor.passed(other, 60)))
        assert total == 1000


async def test_a_killed_worker_takes_nothing_with_it_but_what_it_used(supervisor: Supervisor) -> None:
    settings = LimitSettings(requests=1000, window="day")
    async with await supervisor.worker(settings) as killed:
        total = 0
        for _ in range(5):
            total += await supervisor.passed(killed, 30)
        await asyncio.to_thread(killed.kill)
    async with await supervisor.worker(settings) as other:
        assert total == 150
        assert await supervisor.passed(other, 1000) == 850


async def test_what_ran_in_a_killed_worker_runs_no_more(supervisor: Supervisor) -> None:
    settings = LimitSettings(concurrent=10)
    async with await supervisor.worker(settings) as killed, await supervisor.worker(settings) as other:
        assert await supervisor.passed(killed, 8) == 8
        assert await supervisor.passed(other, 10) == 2
        await asyncio.to_thread(killed.kill)
        assert await supervisor.passed(other, 10) == 8


async def test_a_worker_that_hangs_holds_others_up_but_not_for_ever(impatient: Supervisor) -> None:
    """Nobody gets what it holds, and nobody is told that it is used; when it goes on, it gives it back."""
    settings = LimitSettings(requests=200, window="day")
    async with await impatient.worker(settings) as hangs, await impatient.worker(settings) as other:
        used = await impatient.passed(hangs, 1)
        while impatient.used() == impatient.counted():
            used += await impatient.passed(hangs, 1)
        hangs.process.send_signal(signal.SIGSTOP)
        passed, unavailable = await impatient.ended(other, 200)
        assert used + passed < 200
        assert passed + unavailable == 200
        hangs.process.send_signal(signal.SIGCONT)
        async with asyncio.timeout(20):
            while unavailable:
                more, unavailable = await impatient.ended(other, 200)
                passed += more
        assert used + passed == 200


async def test_a_worker_that_is_slow_to_give_back_is_waited_for(supervisor: Supervisor) -> None:
    settings = LimitSettings(requests=200, window="day")
    async with await supervisor.worker(settings) as slow, await supervisor.worker(settings) as other:
        used = await supervisor.passed(slow, 1)
        while supervisor.used() == supervisor.counted():
            used += await supervisor.passed(slow, 1)
        slow.process.send_signal(signal.SIGSTOP)
        asking = asyncio.create_task(supervisor.passed(other, 200))
        while supervisor.counted() < 200:  # noqa: ASYNC110 — it happens in another process
            await asyncio.sleep(0.005)
        assert not asking.done(), "it may have more"
        slow.process.send_signal(signal.SIGCONT)
        assert used + await asking == 200


async def test_a_worker_that_ends_gives_back_what_it_held(supervisor: Supervisor) -> None:
    settings = LimitSettings(requests=1000, window="day")
    async with await supervisor.worker(settings) as first:
        for _ in range(5):
            await supervisor.passed(first, 30)
    async with await supervisor.worker(settings) as second:
        assert await supervisor.passed(second, 1000) == 850


async def test_without_a_coordinator_nothing_passes_and_with_a_new_one_the_count_goes_on(
    supervisor: Supervisor,
) -> None:
    caller = Principal(project_id="a", key_id="key_ci", name="ci")
    worker = CoordinatorStore(supervisor.socket)
    limits = Limits(worker, [LimitSettings(requests=3, window="day"), LimitSettings(concurrent=2)])

    async def ask() -> None:
        (await limits.reserve(Ask(principal=caller, model="m"))).settle(0, 0)

    held = await limits.reserve(Ask(principal=caller, model="m"))
    await supervisor.coordinator.close()
    await asyncio.sleep(0.01)
    with pytest.raises(Unavailable, match="counts for the limits of this server does not answer"):
        await ask()
    await supervisor.coordinator.start_serving()
    held.settle(0, 0)
    await ask()
    await ask()
    used = {each.spec.dimension: each.used for each in await limits.usage()}
    assert used == {0: 3, 3: 0}
    await worker.close()


async def test_strangers_at_the_socket_harm_nobody(supervisor: Supervisor) -> None:
    for said in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00\x00\x00\x02\x91\xa5",
        b"\x00\x00\x00\x09\x92\xa5hello\xa1x",
        b"",
    ):
        reader, writer = await asyncio.open_unix_connection(str(supervisor.socket))
        writer.write(said)
        if said:
            assert await reader.read() == b""
        writer.close()
    async with await supervisor.worker(DAY) as worker:
        assert await supervisor.passed(worker, 200) == 100


async def test_counts_survive_a_kill(tmp_path: Path) -> None:
    """Not one request that passed is forgotten or counted twice; what ran runs no more."""
    path = str(tmp_path / "limits.counts")
    settings = LimitSettings(requests=1000, concurrent=1000, usd=1.0, window="month")
    total = 0
    for requests in (1, 60, 300):
        async with await asyncio.to_thread(Worker, path, settings) as worker:
            total += await asyncio.to_thread(worker.passed, requests)
            await asyncio.to_thread(worker.kill)
    store = LocalStore(Path(path))
    used = {each.spec.dimension: each.used for each in await store.usage()}
    assert used == {0: total, 2: total * 10} == {0: 361, 2: 3610}
    await store.close()


async def on_machines(url: str, settings: LimitSettings, count: int = 2) -> list[Worker]:
    """Processes that share a database, as those of several machines do."""
    return [await asyncio.to_thread(Worker, url, settings) for _ in range(count)]


async def passed_at_once(workers: list[Worker], requests: int) -> int:
    return sum(await asyncio.gather(*(asyncio.to_thread(worker.passed, requests) for worker in workers)))


@pytest.mark.parametrize("settings", [DAY, LimitSettings(usd=1e-6, window="month"), LimitSettings(concurrent=100)])
async def test_two_machines_with_five_hundred_calls_pass_a_hundred(
    postgres_url: str, settings: LimitSettings
) -> None:
    one, other = await on_machines(postgres_url, settings)
    async with one, other:
        assert await passed_at_once([one, other], 250) == 100
        assert await passed_at_once([one, other], 10) == 0


async def test_many_small_bursts_on_two_machines_pass_exactly_the_limit(postgres_url: str) -> None:
    one, other = await on_machines(postgres_url, LimitSettings(requests=600, window="day"))
    async with one, other:
        assert (
            sum([await passed_at_once([one, other], requests) for requests in (7, 60, 7, 60, 7, 60, 7, 300)]) == 600
        )


async def test_a_machine_that_is_slow_to_give_back_is_waited_for(postgres_url: str) -> None:
    slow, other = await on_machines(postgres_url, LimitSettings(requests=200, window="day"))
    async with slow, other:
        used, unused = 0, 0
        while not unused:
            used += await passed_at_once([slow], 1)
            (counted,) = await execute(postgres_url, "SELECT current FROM limits.limit_count")
            unused = counted - used
        slow.process.send_signal(signal.SIGSTOP)
        asking = asyncio.create_task(passed_at_once([other], 200))
        while (await execute(postgres_url, "SELECT current FROM limits.limit_count")) != [200]:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        assert not asking.done(), "it may have more"
        slow.process.send_signal(signal.SIGCONT)
        assert used + await asking == 200


async def test_a_machine_that_ends_gives_back_and_one_that_dies_is_buried(postgres_url: str) -> None:
    settings = LimitSettings(concurrent=10)
    ended, dead, other = await on_machines(postgres_url, settings, 3)
    async with ended, dead, other:
        assert await passed_at_once([ended], 4) == 4
        assert await passed_at_once([dead], 4) == 4
        async with ended:
            pass
        assert await passed_at_once([other], 9) == 6
        await asyncio.to_thread(dead.kill)
        newest = "(SELECT max(id) FROM limits.limit_holder)"
        await execute(postgres_url, f"UPDATE limits.limit_holder SET expires_us = 0 WHERE id <> {newest}")
        freed = 0
        async with asyncio.timeout(20):
            while freed < 4:
                freed += await passed_at_once([other], 1)
        assert await passed_at_once([other], 5) == 0


async def test_a_stretch_that_is_over_counts_as_the_last_one(postgres_url: str) -> None:
    """The database's time decides; here its rows are moved into the past instead."""
    settings = LimitSettings(requests=100, window="366d")
    (worker,) = await on_machines(postgres_url, settings, 1)
    async with worker:
        assert await passed_at_once([worker], 150) == 100
    await execute(postgres_url, "UPDATE limits.limit_count SET ends_us = ends_us - size_us")
    (worker,) = await on_machines(postgres_url, settings, 1)
    async with worker:
        (share,) = await execute(
            postgres_url,
            "SELECT 100 - ceil(100 * (size_us - extract(epoch FROM now())::bigint * 1000000 % size_us)::numeric "
            "/ size_us) FROM limits.limit_count",
        )
        assert await passed_at_once([worker], 150) == share
    await execute(postgres_url, "UPDATE limits.limit_count SET ends_us = ends_us - 3 * size_us")
    (worker,) = await on_machines(postgres_url, settings, 1)
    async with worker:
        assert await passed_at_once([worker], 150) == 100


@pytest.mark.parametrize("period", ["day", "week", "month"])
async def test_a_calendar_period_ends_on_the_database_as_it_does_here(postgres_url: str, period: str) -> None:
    (worker,) = await on_machines(postgres_url, LimitSettings(requests=1, window=period), 1)
    async with worker:
        before = window(period).bounds(SYSTEM_CLOCK.now_us())[1]
        assert await passed_at_once([worker], 1) == 1
        (ends,) = await execute(postgres_url, "SELECT ends_us FROM limits.limit_count")
        assert ends in (before, window(period).bounds(SYSTEM_CLOCK.now_us())[1])


async def execute(url: str, statement: str) -> list[int]:
    import psycopg

    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        cursor = await connection.execute(statement.encode())
        return [int(row[0]) for row in await cursor.fetchall()] if cursor.description else []
