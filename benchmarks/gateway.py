"""Requests per second and added latency of the gateway, beside its peers and the floor, in one run.

    python benchmarks/gateway.py [--seconds 5] [--rounds 3] [--delay]

nginx answers at once and wrk asks, over 1, 16 and 64 connections. Measured are a bare uvicorn and aiohttp server
(the floor), Penstock in one process with a key, limits, a budget, the ledger and traces on, Portkey where $PORTKEY
names a folder with `npm install @portkey-ai/gateway`, and LiteLLM where $LITELLM names a virtual environment with
`pip install 'litellm[proxy]'`. The rounds alternate between all of them; the medians of their ratios are printed.
`--delay` takes an upstream of 20 ms instead, where only the added latency is of interest; `--workers` measures two
worker processes beside one, in requests/s and in CPU time per request, and what a gateway takes to start.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from support import cpu, servers
from support.upstream import ANSWER

CONNECTIONS = (1, 16, 64)
MANY = 64
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


def report(results: dict[tuple[str, int], Result], names: list[str]) -> dict[str, object]:
    """Prints the table, and returns the figures."""
    print(f"\n{'connections':>11}  " + "".join(f"{name:>12}" for name in names) + "   (requests/s, median)")
    for connections in CONNECTIONS:
        rates = [statistics.median(results[name, connections].rate) for name in names]
        print(f"{connections:>11}  " + "".join(f"{rate:12.0f}" for rate in rates))
    figures: dict[str, object] = {}
    print("\npenstock to")
    for name, goal in GOALS.items():
        if name in names:
            ratios = {each: ratio(results, name, each) for each in CONNECTIONS}
            said = "  ".join(f"c={each} {value:.2f}" for each, value in ratios.items())
            print(f"  {name:9} {said}   (goal {goal:g})")
            figures[f"to_{name}"] = ratios
    print("\nadded to a direct call at one connection")
    for name in ("penstock", "bare"):
        p50, p99 = added(results, name)
        print(f"  {name:9} p50 {p50:.3f} ms, p99 {p99:.3f} ms")
        figures[f"{name}_added_ms"] = {"p50": p50, "p99": p99}
    return figures


def added(results: dict[tuple[str, int], Result], name: str) -> tuple[float, float]:
    """Median and 99th percentile of what a call takes longer, in milliseconds: the medians of the rounds."""
    direct, theirs = results["direct", 1], results[name, 1]
    p50 = statistics.median(a - b for a, b in zip(theirs.p50, direct.p50, strict=True))
    p99 = statistics.median(a - b for a, b in zip(theirs.p99, direct.p99, strict=True))
    return round(p50, 3), round(p99, 3)


def ratio(results: dict[tuple[str, int], Result], name: str, connections: int) -> float:
    """The median of the rounds' own ratios."""
    mine, theirs = results["penstock", connections].rate, results[name, connections].rate
    return round(statistics.median(a / b for a, b in zip(mine, theirs, strict=True)), 3)


@dataclass
class Served:
    """So many processes of one kind, and their requests/s and CPU per request (us) in each round."""

    name: str
    count: int
    peer: Peer
    pids: list[int]
    rate: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    """Of nginx and wrk."""

    def measure(self, nginx: list[int], seconds: float) -> None:
        own, others = cpu.seconds(self.pids), cpu.seconds(nginx) + cpu.seconds_of_ended()
        rate = wrk(self.peer, MANY, seconds)[0]
        requests = rate * seconds
        self.rate.append(rate)
        self.own.append((cpu.seconds(self.pids) - own) / requests * 1e6)
        self.others.append((cpu.seconds(nginx) + cpu.seconds_of_ended() - others) / requests * 1e6)

    def figures(self) -> dict[str, float]:
        """Medians; `most` is what all cores could give if they did nothing but such requests and never waited."""
        rate, own, others = (statistics.median(each) for each in (self.rate, self.own, self.others))
        most = (os.cpu_count() or 1) * 1e6 / (own + others)
        return {"rate": rate, "own_us": own, "others_us": others, "most": most, "of_most": rate / most}


def measure_workers(folder: Path, target: str, rounds: int, seconds: float) -> dict[str, object]:
    """Two worker processes beside one, the same for the bare pass-through, and the start of one."""
    plain = script(folder, "plain")
    with contextlib.ExitStack() as stack:
        began = time.monotonic()
        url, running = stack.enter_context(servers.penstock(folder, target))
        seconds_to_start = time.monotonic() - began
        memory = memory_mb(running.pid)
        found = [Served("penstock", 1, Peer(url, plain), cpu.family(running.pid))]
        url, running = stack.enter_context(servers.penstock(folder, target, workers=2))
        wrk(Peer(url, plain), MANY, 1)
        found.append(Served("penstock", 2, Peer(url, plain), cpu.family(running.pid)))
        for count in (1, 2):
            url, bare = stack.enter_context(servers.passthroughs(folder, target, count))
            found.append(Served("bare", count, Peer(url, plain), [each.pid for each in bare]))
        nginx = cpu.family(int((folder / "nginx.pid").read_text()))
        for each in found:
            wrk(each.peer, MANY, 1)
        for number in range(rounds):
            for each in found:
                each.measure(nginx, seconds)
                said = f"{each.rate[-1]:6.0f}/s  {each.own[-1]:4.0f} us of CPU"
                print(f"round {number + 1}  {each.name:9} {each.count}  {said}", flush=True)
    return {
        "seconds_to_start": round(seconds_to_start, 2),
        "resident_mb_after_start": round(memory),
        "penstock_workers": compared(found[0], found[1]),
        "bare_processes": compared(found[2], found[3]),
    }


def compared(one: Served, two: Served) -> dict[str, float]:
    """What two processes serve to what one does.

    `to_one` is of the requests per second. Where the client and the upstream have no cores of their own it says
    little: `possible` is the most that it can be here, at what a request costs all of them, where one process has
    one core. `by_cpu` is what two serve to one where there are cores enough: twice as much, less what a request
    costs more of the processes' own CPU.
    """
    for each in (one, two):
        said = (
            "{rate:6.0f}/s  {own_us:4.0f} us of CPU a request, {others_us:3.0f} of nginx and wrk;"
            "  at most {most:6.0f}/s on these cores, {of_most:.0%} reached"
        )
        print(f"{each.name:9} {each.count}  {said.format(**each.figures())}")
    single, double = one.figures(), two.figures()
    figures = {
        "to_one": statistics.median(b / a for a, b in zip(one.rate, two.rate, strict=True)),
        "possible": double["most"] / min(single["most"], 1e6 / single["own_us"]),
        "by_cpu": statistics.median(2 * a / b for a, b in zip(one.own, two.own, strict=True)),
    }
    print(
        f"{one.name}, two to one: {{to_one:.2f}} of {{possible:.2f}} possible, {{by_cpu:.2f}} by CPU".format(
            **figures
        )
    )
    return {name: round(value, 3) for name, value in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--delay", action="store_true", help="an upstream of 20 ms")
    parser.add_argument("--workers", action="store_true", help="two worker processes beside one")
    parser.add_argument("--floor-only", action="store_true", help="leave Portkey and LiteLLM out")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        if given.delay:
            target = stack.enter_context(servers.upstream(folder, "--delay", "0.02"))
        else:
            target = stack.enter_context(servers.nginx(folder, ANSWER))
        if given.workers:
            print(json.dumps(measure_workers(folder, target, given.rounds, given.seconds)))
            return
        floor_only = given.floor_only or given.delay
        found = stack.enter_context(peers(folder, target, floor_only=floor_only))
        results = measure(found, given.rounds, given.seconds)
        figures = report(results, list(found))
        pid = found["penstock"].pid
        figures["resident_mb_after_load"] = round(memory_mb(pid)) if pid is not None else None
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
