"""Background work: one process at a time, what fails is tried again, projects take turns."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from penstock.clock import ManualClock
from penstock.jobs import repository, worker
from penstock.jobs.store import JobStore
from penstock.jobs.values import Job
from penstock.jobs.worker import Worker


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(worker, "FIRST_WAIT", 0.01)


def job(id: str, project_id: str = "a", created_us: int = 0) -> Job:
    return Job(id=id, kind="dig", project_id=project_id, created_us=created_us, due_us=created_us)


class Digger:
    """Does jobs, and raises for the first `fails` of them."""

    def __init__(self, store: JobStore, fails: int = 0) -> None:
        self.store = store
        self.done: list[str] = []
        self.fails = fails

    async def __call__(self, job: Job) -> None:
        self.done.append(job.id)
        if self.fails:
            self.fails -= 1
            raise RuntimeError("the spade broke")
        await self.store.write(partial(repository.remove, id=job.id))


async def add(store: JobStore, *jobs: Job) -> None:
    for each in jobs:
        await store.write(partial(repository.add, job=each))


async def no_job_is_left(store: JobStore) -> None:
    due = partial(repository.due, kinds=("dig",), now_us=1 << 60, limit=9)
    async with asyncio.timeout(10):
        while await store.read(due):  # noqa: ASYNC110 -- what is waited for is in the database
            await asyncio.sleep(0.01)


async def test_projects_take_turns(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    assert not store.exists
    await add(store, *(job(f"a{n}", "a", n) for n in range(3)), job("b0", "b", 10), job("c0", "c", 20))
    await add(store, Job(id="late", kind="dig", project_id="d", created_us=0, due_us=1000))
    await add(store, Job(id="other", kind="fill", project_id="d", created_us=0, due_us=0))
    found = await store.read(partial(repository.due, kinds=("dig",), now_us=100, limit=4))
    assert [each.id for each in found] == ["a0", "b0", "c0", "a1"]
    store.close()


async def test_what_raises_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = JobStore(tmp_path)
    digger = Digger(store, fails=2)
    await add(store, job("hole"))
    working = asyncio.create_task(Worker(store, {"dig": digger}).run())
    await no_job_is_left(store)
    assert digger.done == ["hole"] * 3
    assert "dig hole failed and will be tried again" in caplog.text
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    store.close()


async def test_one_process_works_and_the_next_takes_over(tmp_path: Path) -> None:
    stores = JobStore(tmp_path), JobStore(tmp_path)
    first, second = (Digger(store) for store in stores)
    await add(stores[0], job("one"))
    working = asyncio.create_task(Worker(stores[0], {"dig": first}).run())
    await no_job_is_left(stores[0])
    waiting = asyncio.create_task(Worker(stores[1], {"dig": second}).run())
    await add(stores[1], *(job(f"more{n}") for n in range(5)))
    await no_job_is_left(stores[1])
    assert (len(first.done), second.done) == (6, [])
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    await add(stores[0], job("last"))
    await no_job_is_left(stores[0])
    assert second.done == ["last"]
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    for store in stores:
        store.close()


async def test_a_job_under_way_is_not_begun_again(tmp_path: Path) -> None:
    store, clock = JobStore(tmp_path), ManualClock(5)
    begun, go_on = [], asyncio.Event()

    async def dig(job: Job) -> None:
        begun.append(job.id)
        await go_on.wait()
        await store.write(partial(repository.remove, id=job.id))

    await add(store, job("hole"))
    working = Worker(store, {"dig": dig}, clock)
    task = asyncio.create_task(working.run())
    for _ in range(5):
        working.wake()
        await asyncio.sleep(0.01)
    go_on.set()
    await no_job_is_left(store)
    assert begun == ["hole"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    store.close()
