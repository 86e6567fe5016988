"""A process that pulls: `pulling.py ADDRESS [KILL_AT [LIMIT]]`.

Prints each phase when it begins, and the folder at the end. Kills itself, as `kill -9` would, at the report with
the number KILL_AT; LIMIT is the largest size in bytes that a file may get.
"""

import os
import resource
import signal
import sys

from penstock.errors import PenstockError
from penstock.models.pull import PullProgress, pull

address, *rest = sys.argv[1:]
kill_at, limit = [int(value) for value in rest] + [-1, -1][len(rest) :]
if limit >= 0:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
reports = 0
phases: list[str] = []


def on_progress(progress: PullProgress) -> None:
    global reports
    if reports == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
    reports += 1
    if progress.phase not in phases:
        phases.append(progress.phase)
        sys.stdout.write(f"{progress.phase}\n")
        sys.stdout.flush()


try:
    sys.stdout.write(f"{pull(address, on_progress)}\n")
except PenstockError as error:
    sys.stdout.write(f"{type(error).__name__}: {error}\n")
    sys.exit(1)
