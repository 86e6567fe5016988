"""The memory of a process and all its children, at its highest (Linux)."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

LOOK_SECONDS = 0.05


class Peak:
    """`bytes` is the highest sum over the processes, pages that several of them have counted once (PSS)."""

    def __init__(self) -> None:
        self.bytes = 0.0
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def watch(self, child: subprocess.Popen[str]) -> str:
        """What the child prints. Raises `CalledProcessError` where it fails."""
        self._thread = threading.Thread(target=self._look, args=(child.pid,), daemon=True)
        self._thread.start()
        output, _ = child.communicate()
        if child.returncode:
            raise subprocess.CalledProcessError(child.returncode, child.args, output)
        return output

    def _look(self, pid: int) -> None:
        while not self._over.wait(LOOK_SECONDS):
            self.bytes = max(self.bytes, sum(shared(each) for each in family(pid)))


def family(pid: int) -> list[int]:
    """A process and everything below it."""
    found, waiting = [], [pid]
    while waiting:
        each = waiting.pop()
        found.append(each)
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            try:
                waiting += map(int, task.read_text().split())
            except OSError:
                continue
    return found


def shared(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0.0)
