"""Processes that share limits (`limit_worker.py`), driven line by line."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from penstock.config.limits import LimitSettings

WORKER = Path(__file__).with_name("limit_worker.py")


class Worker:
    """One process. `place` is a socket, a file of counts or the address of a database."""

    def __init__(self, place: str, settings: LimitSettings) -> None:
        given = json.dumps(settings.model_dump(exclude_unset=True))
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), place, given],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        assert self.answer().startswith("ready")

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, requests: int) -> None:
        """Makes this many requests at once; `answer` is how many passed, and how many got a 503."""
        self.say(str(requests))

    def passed(self, requests: int) -> int:
        """How many of this many requests at once pass, where all others are refused."""
        passed, unavailable = self.ended(requests)
        assert unavailable == 0
        return passed

    def ended(self, requests: int) -> tuple[int, int]:
        """How many passed, and of how many it could not be known."""
        self.ask(requests)
        passed, unavailable = self.answer().split()
        return int(passed), int(unavailable)

    def settle(self) -> None:
        self.say("settle")
        assert self.answer() == "settled"

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            assert self.process.stdin is not None
            self.process.stdin.close()
            await asyncio.to_thread(self.process.wait, 10)
        assert self.process.stdout is not None
        self.process.stdout.close()
