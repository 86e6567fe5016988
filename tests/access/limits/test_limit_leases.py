"""What becomes of leases between two workers when the coordinator does not hear one of them for a while."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from penstock.access.limits import Ask, Limits
from penstock.access.limits.coordinated import CoordinatorStore
from penstock.access.limits.coordinator import Coordinator
from penstock.access.limits.local import LocalStore
from penstock.clock import ManualClock
from penstock.config.limits import LimitSettings
from penstock.errors import RateLimited, Unavailable
from penstock.exchange import Principal

CALLER = Principal(project_id="a", key_id="key_ci", name="ci")
HUNDRED = LimitSettings(requests=100, window="day")
LONGER_THAN_A_TEST = 600.0


class Line:
    """A socket in front of the coordinator's. While it is held, nothing that is said there gets through."""

    def __init__(self, path: Path, coordinator: Path) -> None:
        self.path = path
        self._coordinator = coordinator
        self._free = asyncio.Event()
        self._free.set()
        self._ways: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._connected, self.path)

    def hold(self) -> None:
        self._free.clear()

    def release(self) -> None:
        self._free.set()

    async def _connected(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, up = await asyncio.open_unix_connection(self._coordinator)
        self._ways.add(asyncio.create_task(self._carry(near, up, held=True)))
        self._ways.add(asyncio.create_task(self._carry(far, back, held=False)))

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, held: bool) -> None:
        while data := await source.read(1 << 16):
            if held:
                await self._free.wait()
            target.write(data)
        target.write_eof()

    async def close(self) -> None:
        for way in self._ways:
            way.cancel()
        await asyncio.gather(*self._ways, return_exceptions=True)
        if self._server is not None:
            self._server.close()


class Machine:
    """A coordinator, a worker that it always hears (`near`), and one at the other end of a line (`far`)."""

    def __init__(self, folder: Path, settings: LimitSettings, patience: float) -> None:
        clock = ManualClock()
        self.counts = LocalStore(folder / "limits.counts", clock=clock)
        self.coordinator = Coordinator(folder / "limits.sock", self.counts, patience)
        self.line = Line(folder / "line.sock", folder / "limits.sock")
        self.near_store = CoordinatorStore(folder / "limits.sock", clock)
        self.far_store = CoordinatorStore(folder / "line.sock", clock)
        self.near, self.far = Limits(self.near_store, [settings]), Limits(self.far_store, [settings])

    def counted(self) -> int:
        """With what is held and not used."""
        return sum(each.used for each in self.counts.all_usage())

    async def lend(self, user: str | None = None) -> int:
        """The far worker takes something in advance; how many requests that were."""
        for requests in range(1, 20):
            await ask(self.far, user)
            if sum(each.used for each in self.coordinator.usage()) < self.counted():
                return requests
        raise AssertionError("nothing was taken in advance")


@asynccontextmanager
async def started(folder: Path, settings: LimitSettings, patience: float) -> AsyncIterator[Machine]:
    machine = Machine(folder, settings, patience)
    await machine.coordinator.start_serving()
    await machine.line.start()
    yield machine
    await machine.near_store.close()
    await machine.far_store.close()
    await machine.line.close()
    await machine.coordinator.close()
    await machine.counts.close()


async def ask(limits: Limits, user: str | None = None) -> None:
    await limits.reserve(Ask(principal=CALLER, model="m", user=user))


async def refusals(limits: Limits, requests: int, user: str | None = None) -> list[BaseException]:
    """Of so many requests at once."""
    ended = await asyncio.gather(*(ask(limits, user) for _ in range(requests)), return_exceptions=True)
    return [each for each in ended if each is not None]


async def until_all_is_counted(machine: Machine) -> None:
    while machine.counted() < 100:  # noqa: ASYNC110 — it happens at the other end of a socket
        await asyncio.sleep(0.001)


async def test_what_is_held_is_waited_for_and_then_used(tmp_path: Path) -> None:
    async with started(tmp_path, HUNDRED, LONGER_THAN_A_TEST) as machine:
        used = await machine.lend()
        machine.line.hold()
        asking = asyncio.create_task(refusals(machine.near, 100))
        await until_all_is_counted(machine)
        assert not asking.done()
        machine.line.release()
        refused = await asking
        assert len(refused) == used
        assert all(isinstance(each, RateLimited) for each in refused)


async def test_what_is_on_its_way_back_is_waited_for(tmp_path: Path) -> None:
    """It is nobody's: its lease is empty, and the message that gives it back has not come."""
    async with started(tmp_path, HUNDRED, LONGER_THAN_A_TEST) as machine:
        used = await machine.lend()
        machine.line.hold()
        closing = asyncio.create_task(machine.far_store.close())
        asking = asyncio.create_task(refusals(machine.near, 100))
        await until_all_is_counted(machine)
        assert not asking.done()
        machine.line.release()
        assert len(await asking) == used
        await closing


async def test_what_a_silent_worker_holds_is_not_said_to_be_used(tmp_path: Path) -> None:
    async with started(tmp_path, HUNDRED, patience=0.1) as machine:
        await machine.lend()
        left = 100 - machine.counted()
        machine.line.hold()
        refused = await refusals(machine.near, 100)
        assert len(refused) == 100 - left
        refused += await refusals(machine.near, 1)
        assert all(isinstance(each, Unavailable) for each in refused)
        machine.line.release()


async def test_who_does_not_need_what_is_held_is_not_held_up(tmp_path: Path) -> None:
    settings = LimitSettings(requests=100, per="user", window="day")
    async with started(tmp_path, settings, LONGER_THAN_A_TEST) as machine:
        used = await machine.lend("ann")
        machine.line.hold()
        asking = asyncio.create_task(refusals(machine.near, 100, "ann"))
        await until_all_is_counted(machine)
        assert len(await refusals(machine.near, 101, "bob")) == 1
        assert not asking.done()
        machine.line.release()
        assert len(await asking) == used


async def test_who_stops_waiting_for_what_is_held_takes_nothing(tmp_path: Path) -> None:
    async with started(tmp_path, HUNDRED, LONGER_THAN_A_TEST) as machine:
        used = await machine.lend()
        machine.line.hold()
        asking = [asyncio.create_task(ask(machine.near)) for _ in range(100)]
        await until_all_is_counted(machine)
        for each in asking:
            each.cancel()
        used += (await asyncio.gather(*asking, return_exceptions=True)).count(None)
        assert used < 100
        machine.line.release()
        assert len(await refusals(machine.near, 100)) == used
