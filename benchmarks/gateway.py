"""Requests per second and added latency of the gateway, beside its peers and the floor, in one run.

    python benchmarks/gateway.py [--seconds 5] [--rounds 3] [--delay]

nginx answers at once and wrk asks, over 1, 16 and 64 connections. Measured are a bare uvicorn + aiohttp pass-through
(the floor), Penstock in one process with a key, limits, a budget, the ledger and traces on, Portkey where $PORTKEY
names a folder with `npm install @portkey-ai/gateway`, and LiteLLM where $LITELLM names a virtual environment with
`pip install 'litellm[proxy]'`. The rounds alternate between all of them; the medians of their ratios are printed.
`--delay` takes an upstream of 20 ms instead, where only the added latency is of interest.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from support import servers
from support.upstream import ANSWER

CONNECTIONS = (1, 16, 64)
BODY = (
    '{"model":"fast","messages":[{"role":"system","content":"You are a helpful assistant."},'
    '{"role":"user","content":"Hello!"}],"max_tokens":64}'
)
LUA = """
wrk.method = "POST"
wrk.body = '%s'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer %s"
%s
"""
GOALS = {"bare": 0.65, "portkey": 3.0, "litellm": 40.0}
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


@dataclass
class Result:
    """Requests per second, and latencies in milliseconds, of each round."""

    rate: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)


@dataclass
class Peer:
    url: str
    script: Path
    pid: int | None = None


def wrk(peer: Peer, connections: int, seconds: float) -> tuple[float, float, float]:
    """Requests per second, and the median and 99th percentile of latency in milliseconds."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", str(peer.script), "--latency"]
    said = subprocess.run([*command, f"{peer.url}/v1/chat/completions"], capture_output=True, text=True, check=True)
    if "Non-2xx" in said.stdout or "Socket errors" in said.stdout:
        raise SystemExit(f"{peer.url} failed:\n{said.stdout}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said.stdout)
    assert rate is not None, said.stdout
    return float(rate[1]), percentile(said.stdout, 50), percentile(said.stdout, 99)


def percentile(said: str, wanted: int) -> float:
    found = re.search(rf"^\s+{wanted}%\s+([\d.]+)(us|ms|s|m)\s*$", said, re.M)
    assert found is not None, said
    return float(found[1]) * UNITS[found[2]]


def script(folder: Path, name: str, more: str = "") -> Path:
    path = folder / f"{name}.lua"
    path.write_text(LUA % (BODY, servers.KEY, more))
    return path


@contextlib.contextmanager
def peers(folder: Path, target: str, *, floor_only: bool) -> Iterator[dict[str, Peer]]:
    """Everything that is measured, running."""
    plain = script(folder, "plain")
    with contextlib.ExitStack() as stack:
        found = {"direct": Peer(target, plain)}
        url, running = stack.enter_context(servers.passthrough(folder, target))
        found["bare"] = Peer(url, plain, running.pid)
        url, running = stack.enter_context(servers.penstock(folder, target))
        found["penstock"] = Peer(url, plain, running.pid)
        if os.environ.get("PORTKEY") and not floor_only:
            url, running = stack.enter_context(servers.portkey(folder, target))
            custom = f'wrk.headers["x-portkey-custom-host"] = "{target}/v1"\n'
            custom += 'wrk.headers["x-portkey-provider"] = "openai"'
            found["portkey"] = Peer(url, script(folder, "portkey", custom), running.pid)
        if os.environ.get("LITELLM") and not floor_only:
            url, running = stack.enter_context(servers.litellm(folder, target))
            found["litellm"] = Peer(url, plain, running.pid)
        yield found


def memory_mb(pid: int) -> float:
    """Resident memory of a process, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1000 if found else 0.0


def measure(found: dict[str, Peer], rounds: int, seconds: float) -> dict[tuple[str, int], Result]:
    results: dict[tuple[str, int], Result] = {}
    for peer in found.values():
        wrk(peer, 16, 1)
    for number in range(rounds):
        for connections in CONNECTIONS:
            for name, peer in found.items():
                result = results.setdefault((name, connections), Result())
                rate, p50, p99 = wrk(peer, connections, seconds)
                result.rate.append(rate)
                result.p50.append(p50)
                result.p99.append(p99)
                said = f"{name:9} {rate:9.0f}/s  p50 {p50:.3f} ms  p99 {p99:.3f} ms"
                print(f"round {number + 1}  c={connections:<3} {said}", flush=True)
    return results


def report(results: dict[tuple[str, int], Result], names: list[str]) -> None:
    print(f"\n{'connections':>11}  " + "".join(f"{name:>12}" for name in names) + "   (requests/s, median)")
    for connections in CONNECTIONS:
        rates = [statistics.median(results[name, connections].rate) for name in names]
        print(f"{connections:>11}  " + "".join(f"{rate:12.0f}" for rate in rates))
    print("\npenstock to")
    for name, goal in GOALS.items():
        if name in names:
            ratios = [
                statistics.median(
                    mine / theirs
                    for mine, theirs in zip(results["penstock", each].rate, results[name, each].rate, strict=True)
                )
                for each in CONNECTIONS
            ]
            said = "  ".join(f"c={each} {ratio:.2f}" for each, ratio in zip(CONNECTIONS, ratios, strict=True))
            print(f"  {name:9} {said}   (goal {goal:g})")
    added(results)


def added(results: dict[tuple[str, int], Result]) -> None:
    direct, mine = results["direct", 1], results["penstock", 1]
    p50 = statistics.median(a - b for a, b in zip(mine.p50, direct.p50, strict=True))
    p99 = statistics.median(a - b for a, b in zip(mine.p99, direct.p99, strict=True))
    print(
        f"\nadded at one connection: p50 {p50:.3f} ms, p99 {p99:.3f} ms (goals 0.35 and 1; with 20 ms upstream 0.3)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--delay", action="store_true", help="an upstream of 20 ms")
    parser.add_argument("--floor-only", action="store_true", help="leave Portkey and LiteLLM out")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        if given.delay:
            target = stack.enter_context(servers.upstream(folder, "--delay", "0.02"))
        else:
            target = stack.enter_context(servers.nginx(folder, ANSWER))
        floor_only = given.floor_only or given.delay
        found = stack.enter_context(peers(folder, target, floor_only=floor_only))
        results = measure(found, given.rounds, given.seconds)
        report(results, list(found))
        pid = found["penstock"].pid
        if pid is not None:
            print(f"resident memory of penstock after the load: {memory_mb(pid):.0f} MB")


if __name__ == "__main__":
    main()
