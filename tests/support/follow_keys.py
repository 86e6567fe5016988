"""A second process that shares a database of keys: says when a key begins to work, and when it ends.

`follow_keys.py FOLDER` reads keys from standard input, one a line; for each it prints "works" once it is known
here, and "ended" once it is not any more.
"""

import asyncio
import sys
from pathlib import Path

from penstock.access.store import Access
from penstock.errors import Unauthenticated


async def main(folder: Path) -> None:
    access = Access.open(folder, folder)
    following = asyncio.create_task(access.follow())
    say("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        secret = line.strip().encode()
        await until(access, secret, works=True)
        say("works")
        await until(access, secret, works=False)
        say("ended")
    following.cancel()
    await access.close()


async def until(access: Access, secret: bytes, *, works: bool) -> None:
    while True:
        try:
            access.keys.authenticate(secret)
            if works:
                return
        except Unauthenticated:
            if not works:
                return
        await asyncio.sleep(0.005)


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


asyncio.run(main(Path(sys.argv[1])))
