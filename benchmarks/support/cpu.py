"""CPU time of running processes, as the kernel counts it (Linux)."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")
UTIME, STIME, PARENT = 11, 12, 1
"""Places in /proc/PID/stat after the name, which may hold anything."""


def family(pid: int) -> list[int]:
    """A process and all that it has started."""
    children: dict[int, list[int]] = {}
    for each in Path("/proc").iterdir():
        if each.name.isdigit() and (found := fields(int(each.name))):
            children.setdefault(int(found[PARENT]), []).append(int(each.name))
    found_pids = [pid]
    for each_pid in found_pids:
        found_pids += children.get(each_pid, [])
    return found_pids


def seconds(pids: Iterable[int]) -> float:
    """User and system time that these processes have used since they began, in hundredths of a second."""
    return sum((int(found[UTIME]) + int(found[STIME])) * TICK for pid in pids if (found := fields(pid)))


def seconds_of_ended() -> float:
    """The same of those that this process has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def fields(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
