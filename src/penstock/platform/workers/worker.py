"""What one worker process is told when it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from penstock.config import AppFolder, load
from penstock.config.folder import Overrides

LIMITS = "limits.sock"


class Worker(Struct, frozen=True, kw_only=True):
    """One of `count` workers. The one with number 0 does what is to be done once, such as deleting old traces.

    `app` is the path that was served, `sockets` the folder where workers and their supervisor find each other,
    `token` what commands of this machine show, `port` the one that all listen on.
    """

    number: int
    count: int
    app: str
    overrides: list[tuple[list[str | int], Any]]
    sockets: str
    token: str
    port: int

    @property
    def leads(self) -> bool:
        return self.number == 0

    @property
    def limits(self) -> Path:
        """Where the supervisor counts for the limits of all."""
        return Path(self.sockets) / LIMITS

    def socket(self, number: int) -> Path:
        """Where the worker of that number answers the others."""
        return Path(self.sockets) / f"worker-{number}.sock"

    def load(self) -> AppFolder:
        """The app. Raises `ConfigError`."""
        return load(self.app, {tuple(path): value for path, value in self.overrides})


def told(overrides: Overrides) -> list[tuple[list[str | int], Any]]:
    """Overrides in a form that JSON has."""
    return [(list(path), value) for path, value in overrides.items()]


def encode(worker: Worker) -> bytes:
    """One line."""
    return msgspec.json.encode(worker) + b"\n"


def decode(line: bytes) -> Worker:
    return msgspec.json.decode(line, type=Worker)
