"""Whether memory stays flat over half a million requests.

    python benchmarks/soak.py [--requests 500000] [--connections 32]

nginx answers at once and wrk asks one process with a key, limits, a budget, the ledger and traces on; each request
has words and an end user of its own, and one in fifty asks for a model that there is not. The resident memory is
printed every tenth of the way. It fails where the last tenth stands more than a tenth above what a fifth of the
way had reached: until then pools, caches and queues fill up.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from gateway import memory_mb
from support import servers
from support.upstream import ANSWER

LUA = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer %s"
local count = %d
request = function()
  count = count + 1
  local model = count %% 50 == 0 and "nonesuch" or "fast"
  return wrk.format(nil, nil, nil, '{"model":"' .. model .. '","user":"user-' .. count ..
    '","messages":[{"role":"user","content":"Question number ' .. count .. '"}],"max_tokens":64}')
end
"""
SLICE = 2
"""Seconds of load between two looks at how many requests there were."""
SETTLED, GROWTH = 2, 1.10


def load(url: str, script: Path, connections: int) -> int:
    """Requests that were answered in one slice."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SLICE}s", "-s", str(script), f"{url}/v1/chat/completions"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+) requests in", said)
    if found is None or "Socket errors" in said:
        raise SystemExit(f"the load failed:\n{said}")
    return int(found[1])


def soak(url: str, pid: int, folder: Path, wanted: int, connections: int) -> list[float]:
    """Resident memory after each tenth of the requests, in MB."""
    script = folder / "soak.lua"
    done, memory = 0, [memory_mb(pid)]
    print(f"{done:>9,} requests  {memory[0]:6.1f} MB", flush=True)
    while len(memory) <= 10:
        script.write_text(LUA % (servers.KEY, done))
        done += load(url, script, connections)
        if done >= wanted * len(memory) / 10:
            memory.append(memory_mb(pid))
            print(f"{done:>9,} requests  {memory[-1]:6.1f} MB", flush=True)
    return memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=500_000)
    parser.add_argument("--connections", type=int, default=32)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        target = stack.enter_context(servers.nginx(folder, ANSWER))
        url, running = stack.enter_context(servers.penstock(folder, target))
        memory = soak(url, running.pid, folder, given.requests, given.connections)
    growth = memory[-1] / memory[SETTLED]
    print(f"from a fifth of the way to the end: {100 * (growth - 1):+.1f}%")
    sys.exit(growth > GROWTH)


if __name__ == "__main__":
    main()
