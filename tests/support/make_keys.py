"""Makes keys in a folder until it is killed, and prints each when it is made: `make_keys.py FOLDER`."""

import asyncio
import sys
from pathlib import Path

from penstock.access.store import Access
from penstock.access.values import NewKey
from penstock.audit.record import COMMAND_LINE


async def main(folder: Path) -> None:
    access = Access.open(folder, folder)

    async def make(worker: int) -> None:
        while True:
            made = await access.keys.create(COMMAND_LINE, NewKey(name=f"worker {worker}"))
            say(made.secret.reveal())

    await asyncio.gather(*(make(worker) for worker in range(4)))


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


asyncio.run(main(Path(sys.argv[1])))
