"""Facts from the online store of Feast, by the HTTP API of its feature server (`/get-online-features`).

https://docs.feast.dev/reference/feature-servers/python-feature-server
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from penstock.errors import UpstreamFailed
from penstock.features.base import Asker
from penstock.features.http import json_of
from penstock.models.providers.connection import Connection, Patience

PRESENT = "PRESENT"


class Names(Struct):
    feature_names: list[str]


class Result(Struct):
    """A column: its values and how each was found, one for the only person asked about."""

    values: list[Any]
    statuses: list[str] = []


class Online(Struct):
    metadata: Names
    results: list[Result]


class FeastFeature:
    """Some features of one entity (`FeatureSource`), as values by their names without the view."""

    def __init__(
        self, name: str, connection: Connection, entities: Mapping[str, str], features: Sequence[str]
    ) -> None:
        self._name = name
        self._connection = connection
        self._entities = entities
        self._features = tuple(features)

    @property
    def name(self) -> str:
        return self._name

    async def fetch(self, asker: Asker) -> Any:
        values = asker.filled(self._entities)
        if values is None:
            return None
        asked = {
            "features": self._features,
            "entities": {key: [value] for key, value in values.items()},
            "full_feature_names": False,
        }
        body = msgspec.json.encode(asked)
        answer = await json_of(self._name, await self._connection.post("/get-online-features", body, Patience()))
        return self._present(answer)

    async def close(self) -> None:
        await self._connection.close()

    def _present(self, answer: Any) -> dict[str, Any] | None:
        """What the store knows; features that it has not, or not any more, are left out."""
        try:
            online = msgspec.convert(answer, Online)
            columns = list(zip(online.metadata.feature_names, online.results, strict=True))
        except (msgspec.ValidationError, ValueError):
            raise UpstreamFailed(f"The lookup of {self._name} was not answered as Feast does.") from None
        wanted = {feature.rpartition(":")[2] for feature in self._features}
        found = {
            name: column.values[0]
            for name, column in columns
            if name in wanted and column.values and column.statuses[:1] in ([], [PRESENT])
        }
        return {name: value for name, value in found.items() if value is not None} or None
