"""Serves a scripted model on uvloop until a signal: `python serve_child.py FOLDER DRAIN_SECONDS`.

Says its address on standard output, then what it does. The model says "Some " and the rest once there is
something on standard input.
"""

import asyncio
import logging
import sys
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from penstock.testing import FakeProvider
from support.gateway_site import model, site


async def main(folder: Path, drain: float) -> None:
    go_on = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, go_on.set)
    async with site(folder, model(FakeProvider("Some ", go_on, "more.")), drain=drain) as it:
        say(it.url)
        await it.server.serve_forever()
        say("served")
    say("closed")


def say(what: str) -> None:
    sys.stdout.write(what + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    logging.basicConfig(level="INFO")
    uvloop.run(main(Path(sys.argv[1]), float(sys.argv[2])))
