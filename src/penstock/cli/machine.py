"""Checks of the machine: Python, processor, memory, disk, and what must be installed."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from penstock.cli.findings import Finding, fail, ok, skip, warn
from penstock.cli.output import bytes_in_words

GIGABYTE = 1_000_000_000
LEAST_MEMORY, GOOD_MEMORY = 1 * GIGABYTE, 2 * GIGABYTE
LEAST_DISK, GOOD_DISK = GIGABYTE // 2, 2 * GIGABYTE
CPU_INFO = Path("/proc/cpuinfo")
MEMORY_INFO = Path("/proc/meminfo")
CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
CONTAINER_USE = Path("/sys/fs/cgroup/memory.current")
NATIVE_PACKAGES = ("openvino", "openvino-genai", "pypdfium2", "tokenizers")


def check_machine(folders: tuple[Path, ...]) -> Iterator[Finding]:
    """All of them; `folders` are the ones that will be written to."""
    yield check_python()
    yield check_system()
    yield check_processor()
    yield check_memory()
    yield from check_disks(folders)
    yield check_packages()


def check_python() -> Finding:
    version = platform.python_version()
    if sys.maxsize < 1 << 32:
        return fail("Python", f"{version} is a 32-bit build", "Install a 64-bit Python.")
    return ok("Python", f"{version}, {sys.executable}")


def check_system() -> Finding:
    name = f"{platform.system()} {platform.release()} on {platform.machine()}"
    if sys.platform in ("linux", "darwin"):
        return ok("System", name)
    return fail("System", f"{name} is not supported", "Use Linux or macOS; on Windows, WSL 2.")


def check_processor() -> Finding:
    from penstock.models.encoders.cores import usable_cores

    flags = cpu_flags()
    cores = usable_cores()
    has = [
        name for name, flag in (("AVX2", "avx2"), ("AVX-512", "avx512f"), ("bf16", "bf16")) if flag_in(flag, flags)
    ]
    detail = f"{cores} core{'s' if cores > 1 else ''} usable, {', '.join(has) or 'no vector extensions known'}"
    if platform.machine() not in ("x86_64", "AMD64"):
        return ok("Processor", f"{cores} core{'s' if cores > 1 else ''} usable, {platform.machine()}")
    if flags and "avx2" not in flags:
        return warn("Processor", detail, "Without AVX2, local models are slow; compose with a remote one instead.")
    return ok("Processor", detail)


def flag_in(flag: str, flags: set[str]) -> bool:
    if flag == "bf16":
        return bool({"avx512_bf16", "amx_bf16"} & flags)
    return flag in flags


def cpu_flags() -> set[str]:
    """What the processor can do, in Linux's words; empty where that is not told."""
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.features", "machdep.cpu.leaf7_features"]
        found = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        return set(found.lower().split())
    lines = _read(CPU_INFO).splitlines()
    return set(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())


def check_memory() -> Finding:
    free = available_memory()
    if free is None:
        return skip("Memory", "this system does not say how much is free")
    detail = f"{bytes_in_words(free)} available"
    if free < LEAST_MEMORY:
        return fail("Memory", detail, "The default models need 1 GB; close other programs or use a larger machine.")
    if free < GOOD_MEMORY:
        return warn("Memory", detail, "2 GB leave room for long prompts and large documents.")
    return ok("Memory", detail)


def available_memory() -> int | None:
    """Bytes that can still be taken, within the limit of a container."""
    lines = [line.split() for line in _read(MEMORY_INFO).splitlines()]
    free = next((int(words[1]) * 1024 for words in lines if words[:1] == ["MemAvailable:"]), None)
    if free is None and sys.platform == "darwin":
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit, used = _read(CONTAINER_LIMIT).strip(), _read(CONTAINER_USE).strip()
    if free is not None and limit.isdecimal() and used.isdecimal():
        free = min(free, max(0, int(limit) - int(used)))
    return free


def check_disks(folders: tuple[Path, ...]) -> Iterator[Finding]:
    for folder in folders:
        there = next(parent for parent in (folder, *folder.parents) if parent.exists())
        free = shutil.disk_usage(there).free
        detail = f"{bytes_in_words(free)} free for {folder}"
        if not os.access(there, os.W_OK | os.X_OK):
            yield fail("Disk", f"{folder} cannot be written", f"Change the permissions of {there}.")
        elif free < LEAST_DISK:
            yield fail("Disk", detail, "Free some space, or set PENSTOCK_CACHE and PENSTOCK_DATA to a larger disk.")
        elif free < GOOD_DISK:
            yield warn("Disk", detail, "That is enough for the default models and few documents.")
        else:
            yield ok("Disk", detail)


def check_packages() -> Finding:
    versions, missing = [], []
    for package in NATIVE_PACKAGES:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            missing.append(package)
    if missing:
        return fail("Packages", f"{', '.join(missing)} missing", "Install Penstock again: pip install penstock")
    return ok("Packages", ", ".join(versions))


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
