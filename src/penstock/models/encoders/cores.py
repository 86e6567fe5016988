"""How many threads are worth starting, and what the processor can multiply fast.

`root` is where the system's files are; tests have their own.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from penstock.models.encoders.messages import Precision

ROOT = Path("/")


def usable_cores(root: Path = ROOT) -> int:
    """Physical cores that this process may run on, within the CPU quota of its container."""
    affinity = getattr(os, "sched_getaffinity", lambda pid: range(os.cpu_count() or 1))
    logical: Iterable[int] = affinity(0)
    folder = root / "sys/devices/system/cpu"
    cores = {_read(folder / f"cpu{number}/topology/core_cpus_list") or str(number) for number in logical}
    quota, _, period = _read(root / "sys/fs/cgroup/cpu.max").partition(" ")
    limit = math.ceil(int(quota) / int(period)) if quota.isdecimal() and period.isdecimal() else len(cores)
    return max(1, min(len(cores), limit))


def fast_precision(root: Path = ROOT) -> Precision:
    """bf16 where the processor multiplies it in hardware, else f32."""
    lines = _read(root / "proc/cpuinfo").splitlines()
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    return "bf16" if {"avx512_bf16", "amx_bf16"} & set(flags) else "f32"


def memory_bytes(root: Path = ROOT) -> int:
    """What this process holds in memory; where the system only tells its peak, the peak."""
    if fields := _read(root / "proc/self/statm").split():
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
