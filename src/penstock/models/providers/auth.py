"""Who we are to a vendor: keys in headers, or requests that are signed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from penstock.models.dialects.base import Headers

MASK = "********"
FORMS = {
    "bearer": ("Authorization", "Bearer {}"),
    "x-api-key": ("x-api-key", "{}"),
    "x-goog-api-key": ("x-goog-api-key", "{}"),
    "api-key": ("api-key", "{}"),
}
"""Where a vendor looks for its key, and how it is written there."""


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
    """A key that is sent as it is, in one of `FORMS`; no key sends nothing."""

    def __init__(self, key: str, form: str = "bearer") -> None:
        header, wording = FORMS[form]
        self.fixed: Headers = ((header, wording.format(key)),) if key else ()
        self.secrets: Sequence[str] = (key,) if key else ()

    def sign(self, path: str, body: bytes) -> Headers:
        return ()


def hidden(text: str, secrets: Sequence[str]) -> str:
    """A text of the vendor without our secrets."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text
