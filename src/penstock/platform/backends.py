"""From `[knowledge.NAME]` to who reads and embeds, and to where vectors are searched."""

from __future__ import annotations

from functools import partial
from urllib.parse import urlsplit

from penstock.config.elsewhere import ElsewhereSettings, StoreSettings
from penstock.exchange import LOCAL_PROJECT
from penstock.knowledge.base import Backends
from penstock.knowledge.executors.base import ExecutorFactory
from penstock.knowledge.executors.process import ProcessExecutor
from penstock.knowledge.stores.external.mirror import Elsewhere
from penstock.knowledge.stores.external.opening import Collection, open_external
from penstock.seams import Embedder


async def backends_of(name: str, settings: ElsewhereSettings, embedder: Embedder) -> Backends:
    """Connects to the vector database, where there is one. Raises `ConfigError` or `Unavailable`."""
    vectors = None if settings.store is None else await elsewhere_of(name, settings.store, embedder)
    return Backends(executor_of(settings), vectors)


async def elsewhere_of(name: str, settings: StoreSettings, embedder: Embedder) -> Elsewhere:
    collection = Collection(
        project_id=LOCAL_PROJECT,
        knowledge=name,
        fingerprint=embedder.fingerprint,
        dimensions=embedder.dimensions,
    )
    key = settings.key.reveal() if settings.key else ""
    store = await open_external(settings.url, key, collection)
    address = urlsplit(settings.url)
    return Elsewhere(
        store, f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path}/{collection.name}"
    )


def executor_of(settings: ElsewhereSettings) -> ExecutorFactory:
    """Raises `ConfigError` where Ray is not installed."""
    if settings.executor == "processes":
        return ProcessExecutor
    from penstock.knowledge.executors.ray import RayExecutor, RaySettings, library

    library()
    ray = settings.ray
    return partial(
        RayExecutor, settings=RaySettings(address=ray.address, readers=ray.readers, encoders=ray.encoders)
    )
