"""What is read of another gateway, and what becomes of each part of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from msgspec import Struct

from penstock.access.values import StoredKey
from penstock.config.limits import LimitSettings

Outcome = Literal["changed", "left out"]
Say = Callable[[Outcome, str, str], None]
"""Notes an outcome, the setting, and what becomes of it."""


class Note(Struct, frozen=True):
    """Something that is not here as it was. `where` is `config.yaml:12 router_settings.x`, or a row."""

    outcome: Outcome
    where: str
    what: str


class Team(Struct, frozen=True, kw_only=True):
    """A team of LiteLLM as the project that it becomes. `spent` are dollars of its running budget."""

    project_id: str
    title: str
    limits: tuple[LimitSettings, ...]
    models: tuple[str, ...] = ()
    is_blocked: bool = False
    spent: float = 0.0


class TakenKey(Struct, frozen=True):
    """A key with the dollars that it has spent of its running budget."""

    stored: StoredKey
    spent: float = 0.0


@dataclass
class Plan:
    """All that will be written. `tables` are those of penstock.toml, as nested dicts; `variables` are those of the
    environment that it needs, with what each must hold."""

    tables: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    teams: list[Team] = field(default_factory=list)
    keys: list[TakenKey] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def note(self, outcome: Outcome, where: str, what: str) -> None:
        self.notes.append(Note(outcome, where, what))

    @property
    def models(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = self.tables.setdefault("models", {})
        return found
