"""Threads and precision from the system's own files."""

import os
from pathlib import Path

import pytest

from penstock.models.encoders.cores import fast_precision, memory_bytes, usable_cores


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def eight_logical(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of four cores with two threads each."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    for number in range(8):
        core = number % 4
        write(tmp_path / f"sys/devices/system/cpu/cpu{number}/topology/core_cpus_list", f"{core},{core + 4}\n")
    return tmp_path


def test_threads_of_one_core_count_once(eight_logical: Path) -> None:
    assert usable_cores(eight_logical) == 4


@pytest.mark.parametrize(
    ("quota", "cores"), [("250000 100000", 3), ("50000 100000", 1), ("max 100000", 4), ("", 4)]
)
def test_a_container_gets_what_it_may_use(eight_logical: Path, quota: str, cores: int) -> None:
    write(eight_logical / "sys/fs/cgroup/cpu.max", quota)
    assert usable_cores(eight_logical) == cores


def test_a_system_that_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert usable_cores(tmp_path) == 6
    assert fast_precision(True, tmp_path) == "f32"
    assert memory_bytes(tmp_path) > 1_000_000


@pytest.mark.parametrize(
    ("flags", "precision"),
    [
        ("fpu avx512f avx512_bf16", ("bf16", "bf16")),
        ("fpu amx_tile amx_bf16 avx512_vnni", ("bf16", "int8-bf16")),
        ("fpu avx2 avx_vnni", ("f32", "int8")),
        ("fpu avx2 avx512f", ("f32", "f32")),
    ],
)
def test_what_the_hardware_has(tmp_path: Path, flags: str, precision: tuple[str, str]) -> None:
    write(tmp_path / "proc/cpuinfo", f"processor\t: 0\nflags\t\t: {flags}\n\nprocessor\t: 1\n")
    assert (fast_precision(False, tmp_path), fast_precision(True, tmp_path)) == precision
