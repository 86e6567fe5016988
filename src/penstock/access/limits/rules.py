"""From a configured limit to what it counts for one request."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Protocol

from msgspec import Struct

from penstock.access.limits.values import CONCURRENT, DIMENSIONS, NANOS, NANOS_PER_USD, CounterSpec, Part
from penstock.access.principal import matches
from penstock.config.limits import LimitSettings
from penstock.exchange import Principal
from penstock.ids import content_id

COUNTED: dict[Part, tuple[int, ...]] = {"all": (0, 1, 2, 3), "request": (0, 3), "work": (1, 2)}
"""The dimensions that each part of a request is counted in."""

EACH = {
    "project": "each project",
    "key": "each key",
    "model": "each model",
    "user": "each user",
    "all": "all together",
}
LONGEST_SCOPE = 120


class OwnLimit(Struct, frozen=True):
    """A limit that comes with a key or a project: `owner` says whose it is, such as "key ci" or "project a"."""

    owner: str
    settings: LimitSettings


class OwnLimits(Protocol):
    """The limits that come with keys and projects. `version` is another one after each change of theirs."""

    @property
    def version(self) -> int: ...

    def of(self, principal: Principal) -> Iterable[OwnLimit]: ...


class NoOwnLimits:
    """Keys and projects carry no limits."""

    version = 0

    def of(self, principal: Principal) -> Iterable[OwnLimit]:
        return ()


class Rule(Struct, frozen=True):
    """One limit. `text` is the whole of it but its amounts; two rules with the same text count the same."""

    text: str
    settings: LimitSettings

    def applies(self, principal: Principal, model: str) -> bool:
        limit = self.settings
        return (
            (limit.project is None or matches(limit.project, principal.project_id))
            and (limit.model is None or matches(limit.model, model))
            and (limit.key is None or matches(limit.key, principal.name) or limit.key == principal.key_id)
        )

    def specs(self, principal: Principal, model: str, part: Part, user: str = "") -> Iterator[CounterSpec]:
        """What is counted for a request that the rule applies to."""
        identity, scope = self._scope(principal, model, user)
        for dimension in COUNTED[part]:
            yield from self._spec(dimension, identity, scope, self._project(principal))

    def blank(self) -> Iterator[CounterSpec]:
        """What will be counted, of nobody yet."""
        project = self.settings.project
        for dimension in COUNTED["all"]:
            yield from self._spec(dimension, "", "", project if project and "*" not in project else "")

    def _spec(self, dimension: int, identity: str, scope: str, project_id: str) -> Iterator[CounterSpec]:
        """One spec, or none where the limit has no such amount."""
        limit = self.settings
        amount = getattr(limit, DIMENSIONS[dimension])
        if amount is None:
            return
        amount = round(amount * NANOS_PER_USD) if dimension == NANOS else amount
        window = "" if dimension == CONCURRENT else limit.window
        yield CounterSpec(
            id=content_id("count", self.text, window, str(dimension), identity),
            rule=self.text,
            per=limit.per,
            scope=scope[:LONGEST_SCOPE],
            project_id=project_id,
            dimension=dimension,
            window=window,
            amount=amount,
            warn=math.ceil(amount * limit.warn_at) if limit.warn_at else 0,
        )

    def _scope(self, principal: Principal, model: str, user: str) -> tuple[str, str]:
        """What tells this count from the rule's others, and what people call it."""
        per = self.settings.per
        if per == "project":
            return principal.project_id, principal.project_id
        if per == "key":
            return f"{principal.project_id}\n{principal.key_id or principal.name}", principal.name
        if per == "model":
            return model, model
        if per == "user":
            return f"{principal.project_id}\n{user}", user
        return "", ""

    def _project(self, principal: Principal) -> str:
        """Whose count it is; "" for one that several projects may share."""
        limit = self.settings
        shared = limit.per in ("model", "all") and (limit.project is None or "*" in limit.project)
        return "" if shared else principal.project_id


def rule(settings: LimitSettings, owner: str = "") -> Rule:
    """`owner` is "" for the limits of a configuration file."""
    chosen = (("project", settings.project), ("model", settings.model), ("key", settings.key))
    named = [f"{name} {pattern}" for name, pattern in chosen if pattern is not None]
    own = [f"of {owner}"] if owner else []
    return Rule(", ".join([EACH[settings.per], *named, *own]), settings)


def is_own(spec: CounterSpec) -> bool:
    """Whether a counter is of a limit that comes with a key or a project."""
    return spec.rule.rpartition(", ")[2].startswith("of ")
