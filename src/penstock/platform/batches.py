"""Batches as a running app has them: their files and database in its data folder, their lines for its pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from penstock.batches.answering import Answerer
from penstock.batches.files.store import FileStore
from penstock.batches.native import NativeBatches
from penstock.batches.run import Surroundings
from penstock.batches.runner import BatchRunner
from penstock.batches.service import Batches
from penstock.batches.values import KIND
from penstock.clock import SYSTEM_CLOCK
from penstock.config import AppFolder
from penstock.exchange import Principal
from penstock.gateway.services import Services
from penstock.http.batches import ENDPOINTS, WORDING
from penstock.jobs.store import JobStore
from penstock.jobs.values import Handler
from penstock.jobs.worker import Worker
from penstock.knowledge.ingestion import jobs as ingestion


def open_batches(store: JobStore, services: Callable[[], Services]) -> Batches:
    """The batches of a data folder; `Batches.work` does the work, and all other jobs of the folder.

    `services` are those of the present configuration, by which new lines are asked.
    """
    settings, access = services().settings, services().access
    files = FileStore(store, settings.batches.max_project_mb)
    standing = access.keys.standing if access is not None else unchanged
    around = Surroundings(store, Answerer(services, WORDING), standing, settings.batches.concurrency, SYSTEM_CLOCK)
    longest = int(settings.server.max_body_mb * (1 << 20))
    native = NativeBatches(store, services, ENDPOINTS, longest, SYSTEM_CLOCK)
    runner = BatchRunner(files, around, native, settings.batches, longest)
    handlers: dict[str, Handler] = {KIND: runner}
    ingestions = services().ingestions
    if ingestions is not None:
        handlers[ingestion.KIND] = ingestions.work
    worker = Worker(store, handlers)
    if ingestions is not None:
        ingestions.tells(worker.wake)
    return Batches(files, store, worker, settings.batches, SYSTEM_CLOCK)


@contextmanager
def look_into(folder: AppFolder) -> Iterator[Batches]:
    """The batches of a folder to look at, without anything that could work on them."""
    store = JobStore(folder.data)
    settings = folder.settings.batches
    try:
        files = FileStore(store, settings.max_project_mb)
        yield Batches(files, store, Worker(store, {}), settings, SYSTEM_CLOCK)
    finally:
        store.close()


def unchanged(principal: Principal) -> Principal:
    """For a server without keys, none of which can end."""
    return principal
