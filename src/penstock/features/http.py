"""Facts from an HTTP lookup: the JSON that a configured address says about the person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

from penstock.errors import UpstreamFailed
from penstock.features.base import Asker
from penstock.models.providers.connection import Connection, Patience, Response

MAX_BODY = 1 << 20
PATH = "/%:@!$&'()*+,;=~"
"""What may stand in the path of an address as it is; a percent sign is of what is encoded already."""


class Lookup(Struct, frozen=True, kw_only=True):
    """What to ask for: the `path` of the address; `parameters` are what its query string says of who asks, `field`
    is the path of the part of the answer to take, its names joined by dots."""

    path: str
    parameters: Mapping[str, str]
    field: str = ""


class HttpFeature:
    """A GET with who asks in the query string (`FeatureSource`). Redirects are not followed.

    That there is no such part of the answer, or nobody (404), is no failure.
    """

    def __init__(self, name: str, connection: Connection, lookup: Lookup) -> None:
        self._name = name
        self._connection = connection
        self._lookup = lookup

    @property
    def name(self) -> str:
        return self._name

    async def fetch(self, asker: Asker) -> Any:
        lookup = self._lookup
        values = asker.filled(lookup.parameters)
        if values is None:
            return None
        target = f"{quote(lookup.path, safe=PATH)}?{urlencode(values)}"
        value = await json_of(self._name, await self._connection.get(target, Patience()))
        for part in lookup.field.split(".") if lookup.field else ():
            value = value.get(part) if isinstance(value, dict) else None
        return value

    async def close(self) -> None:
        await self._connection.close()


async def json_of(name: str, response: Response) -> Any:
    """The JSON of an answer; `None` for what is not there. Raises `UpstreamFailed`."""
    try:
        body = await response.body(MAX_BODY)
    finally:
        response.release()
    if response.status == 404:
        return None
    if response.status != 200:
        raise UpstreamFailed(f"The lookup of {name} was answered with status {response.status}.")
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamFailed(f"The lookup of {name} was answered with what is not JSON.") from None
