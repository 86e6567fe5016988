"""What is on this machine that an app could use, and does not unless it is told to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.config import AppFolder

OLLAMA = "http://127.0.0.1:11434"
PROBE_SECONDS = 0.3


def offers(folder: AppFolder) -> Iterator[str]:
    """One sentence for each model within reach; nothing for an app that already uses one elsewhere."""
    if any(model.remote for model in folder.settings.models.values()):
        return
    if model := ollama_model():
        yield f"Ollama is running here; to compose answers with it: --model ollama/{model}"
    yield from key_offers()


def ollama_model(address: str = OLLAMA) -> str | None:
    """The newest model of an Ollama on this machine; `None` where none answers."""
    from penstock.client import Server
    from penstock.errors import PenstockError

    try:
        found = Server(address, PROBE_SECONDS).get("/api/tags")
    except PenstockError:
        return None
    models = found.get("models") if isinstance(found, dict) else None
    names = [model.get("name") for model in models or [] if isinstance(model, dict)]
    return next((str(name) for name in names if name), None)


def key_offers() -> Iterator[str]:
    """Keys that are set, by the name of their variable; their values are not looked at."""
    from penstock.models.providers.vendors import vendors

    for name, vendor in vendors().items():
        if vendor.base_url and vendor.key and os.environ.get(vendor.key):
            yield f"{vendor.key} is set; to compose answers with {vendor.title}: --model {name}/NAME"
