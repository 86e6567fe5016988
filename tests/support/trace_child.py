"""Records traces without end and prints the ids of those that a flush has promised to be stored."""

import asyncio
import sys
from pathlib import Path

from penstock.traces.store import TraceStore
from support.tracing import record


async def main() -> None:
    store = TraceStore.open(Path(sys.argv[1]))
    while True:
        ids = [record(store) for _ in range(30)]
        if await store.flush():
            sys.stdout.write(" ".join(ids) + "\n")
            sys.stdout.flush()


asyncio.run(main())
