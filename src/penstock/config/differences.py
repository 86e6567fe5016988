"""What is different between two configurations, and which of it a running server can take over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct
from pydantic import BaseModel

from penstock.config.settings import Settings

FIXED = (
    "access",
    "app.data",
    "app.name",
    "batches",
    "cache.enabled",
    "cache.max_mb",
    "cache.semantic",
    "cache.store",
    "cache.url",
    "database",
    "embedders",
    "events",
    "features",
    "knowledge",
    "ledger",
    "logs",
    "oidc",
    "rerankers",
    "responses",
    "server.drain_seconds",
    "server.host",
    "server.port",
    "server.tls",
    "server.workers",
)
"""What holds for the life of the process; everything else is taken over by a reload."""


class Difference(Struct, frozen=True, kw_only=True):
    """One setting by its key, such as `models.fast.use`: as it runs and as the file says it.

    `None` is a setting that is not there. `restart` says that only a restart takes it over. Secrets are shown by
    the name of their environment variable.
    """

    key: str
    running: Any
    file: Any
    restart: bool


def differences(running: Settings, file: Settings) -> tuple[Difference, ...]:
    """Every setting that differs, by its key; of a table that is on one side only, those that it says."""
    before, after = dict(flat(running)), dict(flat(file))
    told = dict(flat(running, said=True)).keys() | dict(flat(file, said=True)).keys()
    changed = [key for key in before.keys() | after.keys() if before.get(key) != after.get(key) and key in told]
    return tuple(
        Difference(key=key, running=before.get(key), file=after.get(key), restart=is_fixed(key))
        for key in sorted(changed)
    )


def is_fixed(key: str) -> bool:
    return any(key == each or key.startswith((f"{each}.", f"{each}[")) for each in FIXED)


def flat(settings: BaseModel, *, said: bool = False) -> Iterator[tuple[str, Any]]:
    """Every setting by its key; with `said`, without those that have their default."""
    yield from flattened("", settings.model_dump(mode="json", exclude_defaults=said))


def flattened(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value and set(value) != {"env"}:
        for key, each in value.items():
            yield from flattened(f"{prefix}.{key}" if prefix else str(key), each)
    elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
        for number, each in enumerate(value):
            yield from flattened(f"{prefix}[{number}]", each)
    elif value is not None and value != {}:
        yield prefix, value
