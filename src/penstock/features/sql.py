"""Facts from a database: the row of a query about the person."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from penstock.features.base import Asker
from penstock.features.repository import CONNECTIONS, FactQuery


class SqlFeature:
    """One query (`FeatureSource`), in threads of its own: a database that hangs holds up nothing else."""

    def __init__(self, name: str, query: FactQuery) -> None:
        self._name = name
        self._query = query
        self._wanted = query.wanted
        self._threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix=f"features.{name}")

    @property
    def name(self) -> str:
        return self._name

    async def fetch(self, asker: Asker) -> Any:
        values = asker.filled(self._wanted)
        if values is None:
            return None
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._query.row, values)

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._query.close()
