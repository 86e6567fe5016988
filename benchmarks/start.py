"""From a fresh clone to the first answer, and from there to the second start: `python benchmarks/start.py`.

Clones this repository into an empty folder, with no environment and no models, runs `make up`, and asks a question
as soon as the address is announced. What pip has cached is used, unless `--no-pip-cache` is given.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[1]
FIRST_GOAL, SECOND_GOAL = 180.0, 10.0
QUESTION = "What is a release?"


class Served:
    """A running `make up`; `seconds` is the time from the command to the announced address."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        started = time.perf_counter()
        self.process = subprocess.Popen(
            ["make", "--no-print-directory", "up", "OPTIONS=--port 0"],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.url = next((line.split()[-1] for line in self.process.stdout if line.startswith("Serving")), "")
        self.seconds = time.perf_counter() - started
        if not self.url:
            raise SystemExit("make up ended without serving; its messages are above.")

    def ask(self) -> str:
        body = json.dumps({"model": "docs", "messages": [{"role": "user", "content": QUESTION}]}).encode()
        request = urllib.request.Request(
            f"{self.url}/v1/chat/completions", body, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            return str(json.load(response)["choices"][0]["message"]["content"])

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(60)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--no-pip-cache", action="store_true", help="download every package again")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
        environment = {**os.environ, "PENSTOCK_CACHE": str(Path(scratch) / "cache")}
        if chosen.no_pip_cache:
            environment["PIP_NO_CACHE_DIR"] = "1"
        started = time.perf_counter()
        first = Served(folder, environment)
        print(first.ask())
        first_answer = time.perf_counter() - started
        first.stop()
        second = Served(folder, environment)
        second.stop()
    figures = {"first_answer_s": round(first_answer, 1), "second_start_s": round(second.seconds, 2)}
    goals = [
        {"name": "first answer", "goal": f"<= {FIRST_GOAL:.0f} s", "value": figures["first_answer_s"]},
        {"name": "second start", "goal": f"<= {SECOND_GOAL:.0f} s", "value": figures["second_start_s"]},
    ]
    goals[0]["met"], goals[1]["met"] = first_answer <= FIRST_GOAL, second.seconds <= SECOND_GOAL
    print(json.dumps({"name": "start", "figures": figures, "ratios": {}, "goals": goals}))


if __name__ == "__main__":
    main()
