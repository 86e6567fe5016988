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


def fast_precision(int8: bool, root: Path = ROOT) -> Precision:
    """What the processor multiplies fastest in hardware; `int8` is whether the model is known to bear that."""
    lines = _read(root / "proc/cpuinfo").splitlines()
    flags = set(next((line for line in lines if line.startswith("flags")), "").split())
    whole = int8 and bool({"avx512_vnni", "avx_vnni"} & flags)
    if {"avx512_bf16", "amx_bf16"} & flags:
        return "int8-bf16" if whole else "bf16"
    return "int8" if whole else "f32"


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
