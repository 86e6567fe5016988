"""Limits over real processes: exact while they run, and whatever happens to one of them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from support.limit_processes import Worker

from penstock.access.limits import Ask, Limits
from penstock.access.limits.coordinated import CoordinatorStore
from penstock.access.limits.coordinator import Coordinator
from penstock.access.limits.local import LocalStore
from penstock.config.limits import LimitSettings
from penstock.errors import Unavailable
from penstock.exchange import Principal

DAY = LimitSettings(requests=100, window="day")


class Supervisor:
    """The process of the tests coordinates, as the one does that starts the workers of a server."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "limits.sock"
        self.store = LocalStore(folder / "limits.counts")
        self.coordinator = Coordinator(self.socket, self.store)

    async def worker(self, settings: LimitSettings) -> Worker:
        return await asyncio.to_thread(Worker, str(self.socket), settings)

    async def passed(self, worker: Worker, requests: int) -> int:
        return await asyncio.to_thread(worker.passed, requests)

    def used(self) -> int:
        return sum(each.used for each in self.coordinator.usage())


@pytest_asyncio.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(tmp_path)
    await supervisor.coordinator.start_serving()
    yield supervisor
    await supervisor.coordinator.close()
    await supervisor.store.close()


@pytest.mark.parametrize(
    "settings", [DAY, LimitSettings(usd=1e-6), LimitSettings(concurrent=100)], ids=["requests", "money", "at once"]
)
async def test_two_processes_with_five_hundred_calls_pass_a_hundred(
    supervisor: Supervisor, settings: LimitSettings
) -> None:
    one, other = await supervisor.worker(settings), await supervisor.worker(settings)
    with one, other:
        passed = await asyncio.gather(supervisor.passed(one, 250), supervisor.passed(other, 250))
        assert sum(passed) == 100
        assert await supervisor.passed(one, 10) + await supervisor.passed(other, 10) == 0
        assert supervisor.used() == (1000 if settings.usd else 100)


async def test_many_small_bursts_pass_exactly_the_limit(supervisor: Supervisor) -> None:
    """Leases grow while there is much left, and go back to whoever needs the last of it."""
    settings = LimitSettings(requests=1000, window="day")
    one, other = await supervisor.worker(settings), await supervisor.worker(settings)
    with one, other:
        total = 0
        for _ in range(20):
            total += sum(await asyncio.gather(supervisor.passed(one, 7), supervisor.passed(other, 60)))
        assert total == 1000


async def test_a_killed_worker_takes_nothing_with_it_but_what_it_used(supervisor: Supervisor) -> None:
    settings = LimitSettings(requests=1000, window="day")
    with await supervisor.worker(settings) as killed:
        total = 0
        for _ in range(5):
            total += await supervisor.passed(killed, 30)
        await asyncio.to_thread(killed.kill)
    with await supervisor.worker(settings) as other:
        assert total == 150
        assert await supervisor.passed(other, 1000) == 850


async def test_what_ran_in_a_killed_worker_runs_no_more(supervisor: Supervisor) -> None:
    settings = LimitSettings(concurrent=10)
    with await supervisor.worker(settings) as killed, await supervisor.worker(settings) as other:
        assert await supervisor.passed(killed, 8) == 8
        assert await supervisor.passed(other, 10) == 2
        await asyncio.to_thread(killed.kill)
        assert await supervisor.passed(other, 10) == 8


async def test_a_worker_that_ends_gives_back_what_it_held(supervisor: Supervisor) -> None:
    settings = LimitSettings(requests=1000, window="day")
    with await supervisor.worker(settings) as first:
        for _ in range(5):
            await supervisor.passed(first, 30)
    with await supervisor.worker(settings) as second:
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
    with await supervisor.worker(DAY) as worker:
        assert await supervisor.passed(worker, 200) == 100


async def test_counts_survive_a_kill(tmp_path: Path) -> None:
    """Not one request that passed is forgotten or counted twice; what ran runs no more."""
    path = str(tmp_path / "limits.counts")
    settings = LimitSettings(requests=1000, concurrent=1000, usd=1.0, window="month")
    total = 0
    for requests in (1, 60, 300):
        with await asyncio.to_thread(Worker, path, settings) as worker:
            total += await asyncio.to_thread(worker.passed, requests)
            await asyncio.to_thread(worker.kill)
    store = LocalStore(Path(path))
    used = {each.spec.dimension: each.used for each in await store.usage()}
    assert used == {0: total, 2: total * 10} == {0: 361, 2: 3610}
    await store.close()
