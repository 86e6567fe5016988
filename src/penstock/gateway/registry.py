"""What can be asked, by name: models, apps and embedders, each presented as a provider."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Literal

from msgspec import Struct

from penstock.access.principal import permits
from penstock.errors import ConfigError, InvalidRequest, ModelNotFound, UnsupportedFeature
from penstock.exchange import Operation, Principal
from penstock.gateway.prices import Priced
from penstock.seams import Provider

Kind = Literal["app", "model", "embedder"]

ENGINE_FEATURES = frozenset({"ebnf", "logprobs", "response_format"})
"""What local engines do beyond plain text."""

ROUTES: dict[Operation, str] = {
    "chat": "/v1/chat/completions",
    "complete": "/v1/completions",
    "embed": "/v1/embeddings",
    "rerank": "/v1/rerank",
    "moderate": "/v1/moderations",
    "image": "/v1/images/generations",
    "edit_image": "/v1/images/edits",
    "vary_image": "/v1/images/variations",
    "speech": "/v1/audio/speech",
    "transcribe": "/v1/audio/transcriptions",
    "translate": "/v1/audio/translations",
}


class Target(Struct, frozen=True, kw_only=True):
    """What a name stands for.

    `features`, `forwards` and `lacks` say what it can do (`dialects.features.Able`); with `drop_unsupported` a
    request goes without the rest instead of being refused. `price` is the most that a request costs, before a route
    has chosen; `None` where it is not known. `served_by` is who answers, where nothing is chosen. `projects` are
    patterns of those that may ask it; none is all.
    """

    name: str
    kind: Kind
    provider: Provider
    operations: frozenset[Operation]
    features: frozenset[str] | None = frozenset()
    forwards: frozenset[str] = frozenset()
    lacks: frozenset[str] = frozenset()
    drop_unsupported: bool = False
    release_id: str = ""
    owned_by: str = "penstock"
    price: Priced | None = None
    served_by: str = ""
    created: int = 0
    projects: tuple[str, ...] = ()

    def open_to(self, principal: Principal) -> bool:
        """Whether the principal may ask it by this name."""
        return permits(principal.models, self.name) and permits(self.projects, principal.project_id)

    @property
    def is_leaf(self) -> bool:
        """Whether it answers by itself; an app answers through others."""
        return self.kind != "app"


class Registry:
    """Targets by name. Filled by the platform before the first request."""

    def __init__(self, targets: Iterable[Target] = ()) -> None:
        self._targets: dict[str, Target] = {}
        for target in targets:
            self.add(target)

    def add(self, target: Target) -> None:
        """Raises `ConfigError` for a name that is taken."""
        if target.name in self._targets:
            raise ConfigError(f"Two things are called {target.name!r}.", hint="Rename one of them.")
        self._targets[target.name] = target

    def __contains__(self, name: str) -> bool:
        return name in self._targets

    def __iter__(self) -> Iterator[Target]:
        return iter(self._targets.values())

    def find(self, name: str) -> Target | None:
        return self._targets.get(name)

    def open_to(self, principal: Principal) -> Registry:
        """What the principal may ask; the rest does not exist for it."""
        return Registry(target for target in self if target.open_to(principal))

    def get(self, name: str) -> Target:
        """Raises `ModelNotFound` with the nearest name."""
        target = self._targets.get(name)
        if target is None:
            raise self._unknown(name)
        return target

    def resolve(self, name: str, operation: Operation) -> Target:
        """The target for an exchange. Raises `ModelNotFound`, `UnsupportedFeature` or `InvalidRequest`."""
        if not name:
            raise InvalidRequest("'model' is missing.", hint=self._choices(operation), param="model")
        target = self.get(name)
        if operation not in target.operations:
            served = " and ".join(ROUTES[each] for each in sorted(target.operations))
            raise UnsupportedFeature(
                f"{name!r} does not answer {ROUTES[operation]}.",
                hint=f"It answers {served}. {self._choices(operation)}".strip(),
                param="model",
            )
        return target

    def _unknown(self, name: str) -> ModelNotFound:
        shown = name if len(name) <= 100 else name[:100] + "…"
        names = {each.lower(): each for each in self._targets}
        near = difflib.get_close_matches(name[:200].lower(), names, 1, cutoff=0.5)
        guess = f"; did you mean {names[near[0]]!r}?" if near else "."
        return ModelNotFound(
            f"Model {shown!r} is not configured{guess}",
            hint=f"Served are {listed(self._targets)}. Others are added under [models] in penstock.toml.",
            param="model",
        )

    def _choices(self, operation: Operation) -> str:
        able = [target.name for target in self if operation in target.operations]
        return f"Name one of {listed(able)}." if able else "No model that could is configured."


def listed(names: Iterable[str]) -> str:
    """Names for a message, the first ten."""
    names = list(names)
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "") or "none yet"
