"""How many threads are worth starting, and what the processor can multiply fast."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

from penstock.models.encoders.minilm_messages import Precision

CPU_FOLDER = Path("/sys/devices/system/cpu")
QUOTA_FILE = Path("/sys/fs/cgroup/cpu.max")
CPU_INFO = Path("/proc/cpuinfo")


def usable_cores() -> int:
    """Physical cores that this process may run on, within the CPU quota of its container."""
    logical = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    siblings = {
        _read(CPU_FOLDER / f"cpu{number}" / "topology" / "core_cpus_list") or str(number) for number in logical
    }
    quota, _, period = _read(QUOTA_FILE).partition(" ")
    limit = math.ceil(int(quota) / int(period)) if quota.isdecimal() and period.isdecimal() else len(siblings)
    return max(1, min(len(siblings), limit))


def fast_precision() -> Precision:
    """bf16 where the processor multiplies it in hardware, else f32."""
    if sys.platform == "linux":
        flags = next((line for line in _read(CPU_INFO).splitlines() if line.startswith("flags")), "").split()
        if "avx512_bf16" in flags or "amx_bf16" in flags:
            return "bf16"
    return "f32"


def memory_bytes() -> int:
    """What this process holds in memory; where only its peak is told, the peak."""
    if fields := _read(Path("/proc/self/statm")).split():
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
