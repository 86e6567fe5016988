"""What models say about each other: every name leads somewhere, and no way leads back to where it began."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from penstock.config.endpoints import is_remote
from penstock.config.models import ModelSettings
from penstock.config.table import conflict


def check_chains(models: Mapping[str, ModelSettings]) -> None:
    """Raises an error that validation explains, with the place of the name that is wrong."""
    named = names_of(models)
    for name, model in models.items():
        for path, other in model.leads_to:
            if other not in named and not is_remote(other):
                raise conflict(unknown(other, named), "models", name, *path)
    for name in models:
        walk((name,), models, named)


def names_of(models: Mapping[str, ModelSettings]) -> dict[str, str]:
    """The names that a model can be called by, each with its own: what it is called here, and what it uses."""
    named = {name: name for name in models}
    for name, model in models.items():
        if model.use:
            named.setdefault(model.use, name)
    return named


def walk(way: tuple[str, ...], models: Mapping[str, ModelSettings], named: Mapping[str, str]) -> None:
    """Follows every way on from the last of `way`; a circle is told where it closes."""
    for path, other in models[way[-1]].leads_to:
        following = named.get(other)
        if following is None:
            continue
        if following in way:
            circle = " → ".join([*way[way.index(following) :], following])
            advice = ""
            if path[0] == "fallback" and any(inner[0] == "difficulty" for inner, _ in models[following].leads_to):
                advice = "; what fails as easy is answered by the model that sent it, without a fallback"
            raise conflict(f"leads in a circle: {circle}{advice}", "models", way[-1], *path)
        walk((*way, following), models, named)


def unknown(name: str, named: Mapping[str, str]) -> str:
    near = difflib.get_close_matches(name, named, 1, cutoff=0.5)
    guess = f"; did you mean {near[0]!r}?" if near else ""
    return f"{name!r} is neither a model of this file nor 'provider/model'{guess or f': add [models.{name}]'}"
