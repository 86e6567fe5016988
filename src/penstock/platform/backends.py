"""From `[knowledge.NAME]` to who reads and embeds, and to where vectors are searched."""

from __future__ import annotations

import logging
from functools import partial
from urllib.parse import urlsplit

from penstock.config.elsewhere import ElsewhereSettings, StoreSettings
from penstock.errors import Unavailable
from penstock.exchange import LOCAL_PROJECT
from penstock.knowledge.base import Backends
from penstock.knowledge.executors.base import ExecutorFactory
from penstock.knowledge.executors.process import ProcessExecutor
from penstock.knowledge.stores.external.mirror import Elsewhere
from penstock.knowledge.stores.external.opening import Collection, open_external, open_later
from penstock.seams import Embedder

logger = logging.getLogger(__name__)


async def backends_of(name: str, settings: ElsewhereSettings, embedder: Embedder) -> Backends:
    """Connects to the vector database, where there is one. One that is away keeps nothing from starting: the
    knowledge's own file is searched until it is back. Raises `ConfigError`."""
    executor = executor_of(settings)
    if settings.store is None:
        return Backends(executor)
    try:
        return Backends(executor, await elsewhere_of(name, settings.store, embedder))
    except Unavailable as error:
        logger.warning("knowledge %s is searched in its own file until its store is back: %s", name, error)
        trouble = error
    collection, key = collection_of(name, embedder), key_of(settings.store)
    there = open_later(settings.store.url, key, collection, trouble)
    return Backends(executor, Elsewhere(there, place_of(settings.store, collection)))


async def elsewhere_of(name: str, settings: StoreSettings, embedder: Embedder) -> Elsewhere:
    """Raises `ConfigError` or `Unavailable`."""
    collection = collection_of(name, embedder)
    store = await open_external(settings.url, key_of(settings), collection)
    return Elsewhere(store, place_of(settings, collection))


def collection_of(name: str, embedder: Embedder) -> Collection:
    return Collection(
        project_id=LOCAL_PROJECT,
        knowledge=name,
        fingerprint=embedder.fingerprint,
        dimensions=embedder.dimensions,
    )


def key_of(settings: StoreSettings) -> str:
    return settings.key.reveal() if settings.key else ""


def place_of(settings: StoreSettings, collection: Collection) -> str:
    """Where a collection is, without secrets."""
    address = urlsplit(settings.url)
    return f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path}/{collection.name}"


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
