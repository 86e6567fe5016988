"""What a form of a page sends, typed."""

from __future__ import annotations

from typing import TypeVar
from urllib.parse import parse_qs

import msgspec
from msgspec import Struct
from starlette.requests import Request

from penstock.errors import InvalidRequest

S = TypeVar("S", bound=Struct)

LONGEST = 50_000
MOST_FIELDS = 50


async def read_form(request: Request, kind: type[S]) -> S:
    """The form as a value of `kind`; a field that is sent twice counts once. Raises `InvalidRequest`."""
    body = await request.body()
    try:
        if len(body) > LONGEST:
            raise ValueError("too long")
        fields = parse_qs(body.decode("ascii"), max_num_fields=MOST_FIELDS)
        return msgspec.convert({name: values[0].strip() for name, values in fields.items()}, kind, strict=False)
    except ValueError as error:
        raise InvalidRequest(
            f"The form cannot be read: {str(error)[:200]}.", hint="Open the page again and fill it in anew."
        ) from None


def patterns(text: str) -> tuple[str, ...]:
    """Names with spaces, commas or line breaks between them."""
    return tuple(dict.fromkeys(text.replace(",", " ").split()))
