"""Who we are to a vendor: keys in headers, or requests that are signed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from penstock.models.dialects.base import Headers

MASK = "********"


class Auth(Protocol):
    """What proves to a vendor who asks. `fixed` headers go with every request; `secrets` must never be shown."""

    @property
    def fixed(self) -> Headers: ...

    @property
    def secrets(self) -> Sequence[str]: ...

    def sign(self, path: str, body: bytes) -> Headers:
        """Headers of this one request."""
        ...


class KeyAuth:
    """A key that is sent as it is. `header` is where, `form` how ("Bearer {}"); no key sends nothing."""

    def __init__(self, key: str, header: str = "Authorization", form: str = "Bearer {}") -> None:
        self.fixed: Headers = ((header, form.format(key)),) if key else ()
        self.secrets: Sequence[str] = (key,) if key else ()

    def sign(self, path: str, body: bytes) -> Headers:
        return ()


def hidden(text: str, secrets: Sequence[str]) -> str:
    """A text of the vendor without our secrets."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text
