"""What stands in the address of a page, typed."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import Struct
from starlette.requests import Request

from penstock.errors import InvalidRequest

S = TypeVar("S", bound=Struct)


def read_query(request: Request, kind: type[S]) -> S:
    """The query string as a value of `kind`; what it does not know is left out. Raises `InvalidRequest`."""
    try:
        return msgspec.convert(dict(request.query_params), kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidRequest(
            f"This address has a part that cannot be read: {error}.", hint="Go back, or start from the bar on top."
        ) from None
