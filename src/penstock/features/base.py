"""What a source of facts about a person is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from msgspec import Struct

from penstock.exchange import Exchange

PERSON = "user_"
"""What the key ids of people begin with who signed in (`access.principal`)."""


class Asker(Struct, frozen=True, kw_only=True):
    """Who asks, as far as sources may know; "" is not known, and a source that needs it is not asked.

    `user` is the one that the holder of a key names in the request. Somebody who signed in is themselves, whatever
    the request says.
    """

    user: str
    project: str
    key: str

    @classmethod
    def of(cls, exchange: Exchange) -> Asker:
        principal = exchange.principal
        user = principal.name if principal.key_id.startswith(PERSON) else exchange.user or ""
        return cls(user=user, project=exchange.project_id, key=principal.key_id)

    def filled(self, names: Mapping[str, str]) -> dict[str, str] | None:
        """What the names stand for, by their keys; `None` where one of them is not known."""
        found = {key: getattr(self, name) for key, name in names.items()}
        return found if all(found.values()) else None


class FeatureSource(Protocol):
    """Looks up one fact. It may take long and may fail: whoever asks has a deadline and a default."""

    @property
    def name(self) -> str: ...

    async def fetch(self, asker: Asker) -> Any:
        """The fact, a JSON value; `None` where there is none. Raises a `PenstockError`."""
        ...

    async def close(self) -> None: ...
