"""One worker process: `python -m penstock.platform.workers.child`, told on its standard input what it is.

It says `ready` once it listens, and stops in order when its input ends: then its supervisor is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys

from penstock.platform.root import Platform
from penstock.platform.workers.worker import Worker, decode


def main() -> None:
    import uvloop

    from penstock.platform.logs import open_logs

    worker = decode(sys.stdin.buffer.readline())
    folder = worker.load()
    open_logs(folder.settings.logs, worker.number)
    with contextlib.suppress(asyncio.CancelledError), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(worker))


async def serve(worker: Worker) -> None:
    loop = asyncio.get_running_loop()
    serving = asyncio.current_task()
    assert serving is not None
    loop.add_signal_handler(signal.SIGTERM, serving.cancel)
    loop.add_reader(sys.stdin.fileno(), on_input)
    async with Platform.open(worker.load(), worker=worker) as platform:
        await platform.serve(lambda url: say("ready"))


def on_input() -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        os.kill(os.getpid(), signal.SIGTERM)


def say(what: str) -> None:
    sys.stdout.write(what + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
