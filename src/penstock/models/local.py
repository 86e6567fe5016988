"""From a model's name or address to its files, and to an engine that runs them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from penstock.config.models import TargetSettings
from penstock.errors import ConfigError
from penstock.models.catalog import ModelCard, lookup
from penstock.models.engines import EngineSettings, build_engine
from penstock.models.engines.gguf import read_entries
from penstock.models.engines.lazy import LazyEngine
from penstock.models.pull import PullProgress, pull
from penstock.models.sources.address import is_address
from penstock.seams import Engine

OnPull = Callable[[PullProgress], None]


def card_of(use: str) -> ModelCard | None:
    """The catalog's card, `None` for a model named by its address. Raises `ModelNotFound`."""
    return None if is_address(use) else lookup(use)


def local_engine(name: str, settings: TargetSettings, on_pull: OnPull) -> LazyEngine:
    """The engine of a local model; it is fetched, if it must be, and started when it is first needed."""

    async def make() -> Engine:
        folder = await asyncio.to_thread(pull, settings.use, on_pull)
        return build_engine(settings.engine, engine_settings(name, settings, folder))

    return LazyEngine(name, make)


def engine_settings(name: str, settings: TargetSettings, folder: Path) -> EngineSettings:
    """How to run the model whose files are in `folder`. Raises `ConfigError` where there is no GGUF file."""
    file = gguf_in(folder)
    card = card_of(settings.use)
    limit = card.context if card else context_of(file)
    return EngineSettings(
        model=name,
        file=file,
        context=min(settings.context or limit, limit),
        cache_tokens=settings.cache_tokens,
        max_running=settings.max_running,
        max_waiting=settings.max_waiting,
    )


def context_of(file: Path) -> int:
    """The context length that a GGUF file states, in tokens. Raises `ConfigError` where it states none."""
    with file.open("rb") as stream:
        values = {key: value for key, _, value in read_entries(stream, file)}
    architecture = values.get("general.architecture", b"")[8:].decode("utf-8", "replace")
    length = values.get(f"{architecture}.context_length")
    if length is None:
        raise ConfigError(f"{file.name} does not say how long its context is.", hint="Set context under [models].")
    return int.from_bytes(length, "little")


def gguf_in(folder: Path) -> Path:
    files = sorted(folder.glob("*.gguf"))
    if not files:
        raise ConfigError(
            f"{folder.name} has no .gguf file, and the local engines run nothing else.",
            hint="Name a GGUF file, such as hf:OWNER/REPO/FILE.gguf.",
        )
    return files[0]
