"""Runs a command as a person would: with a terminal on its standard streams; or with pipes, as a script would."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(
    arguments: Sequence[str], environment: Mapping[str, str] = {}, timeout: float = 60
) -> tuple[int, str]:
    """The exit code and everything the terminal was sent, escape codes included; 100 columns wide."""
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "penstock.cli.main", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40", **environment},
            start_new_session=True,
        ) as process:
            os.close(theirs)
            theirs = -1
            output = _read_all(ours, time.monotonic() + timeout)
            return process.wait(timeout), output.decode().replace("\r\n", "\n")
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)


def piped(arguments: Sequence[str], environment: Mapping[str, str] = {}) -> subprocess.CompletedProcess[str]:
    """The finished process, both streams read through pipes."""
    return subprocess.run(
        [sys.executable, "-m", "penstock.cli.main", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
        check=False,
    )


def _read_all(file: int, deadline: float) -> bytes:
    output = b""
    while select.select([file], [], [], max(0.0, deadline - time.monotonic()))[0]:
        try:
            data = os.read(file, 1 << 16)
        except OSError:  # Linux ends a terminal like this when its last user leaves
            return output
        if not data:
            return output
        output += data
    raise TimeoutError(f"the command did not end; it said {output!r}")
