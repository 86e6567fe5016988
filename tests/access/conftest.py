"""An empty access database, and the clock that it goes by."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from penstock.access.store import Access
from penstock.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest_asyncio.fixture
async def access(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Access]:
    access = Access.open(tmp_path, tmp_path, clock=clock)
    yield access
    await access.close()
