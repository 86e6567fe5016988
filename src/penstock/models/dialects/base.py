"""What a wire format does for a provider: requests written, answers read, errors understood. No I/O here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from msgspec import Struct

from penstock.errors import FailureKind, UnsupportedFeature
from penstock.exchange import Chunk, Exchange

Headers = tuple[tuple[str, str], ...]

JSON: Headers = (("Content-Type", "application/json"),)
FOREIGN = "gemini:"
"""Before a signature of reasoning that Gemini made: it must not be sent elsewhere, nor those of others to it."""


class Outgoing(Struct, frozen=True):
    """One request as it goes out. `path` stands behind the vendor's address, percent-encoded."""

    path: str
    body: bytes
    headers: Headers = JSON


class Failure(Struct, frozen=True, kw_only=True):
    """An error of a provider, understood.

    `forward` says that its body is an error in this dialect, to be passed on to a caller who speaks it.
    `retry_after` is in seconds, where the body says so.
    """

    kind: FailureKind
    message: str = ""
    retry_after: float | None = None
    forward: bool = False


class StreamFailed(Exception):
    """An answer that began well said in its own words that it failed, or carries what cannot be understood.

    `data` is the event as it came, `failure` what it means.
    """

    def __init__(self, data: bytes, failure: Failure) -> None:
        super().__init__(failure.message)
        self.data = data
        self.failure = failure


class Reading(Protocol):
    """Reads the stream of one answer. `complete` is whether the answer was whole, should the stream end here.

    `ended` says that the dialect's end mark came: what follows is of no interest.
    """

    @property
    def complete(self) -> bool: ...

    @property
    def ended(self) -> bool: ...

    def feed(self, received: bytes) -> Iterator[Chunk]:
        """The chunks that these bytes complete. Raises `StreamFailed`, and `OverflowError` for an event too big."""
        ...


def unsupported(model: str, what: str, hint: str = "", param: str | None = None) -> UnsupportedFeature:
    """The error for what a dialect cannot say."""
    return UnsupportedFeature(f"{model} cannot be asked for {what}.", hint=hint, param=param)


class Dialect(Protocol):
    """One wire format of one model. `name` is what `Exchange.dialect` calls it.

    An exchange that came in this dialect is answered byte for byte (`Chunk.raw`); one that came in another is
    written from its neutral fields, and its chunks carry no bytes.
    """

    @property
    def name(self) -> str: ...

    def request(self, exchange: Exchange) -> Outgoing:
        """Raises `UnsupportedFeature` for what this format cannot say."""
        ...

    def reading(self, exchange: Exchange, content_type: str) -> Reading | None:
        """What reads an answer of that content type as a stream; `None` where it is one whole body."""
        ...

    def whole(self, exchange: Exchange, data: bytes, content_type: str) -> Chunk | None:
        """An answer that was not streamed; `None` for what is no answer. Raises `StreamFailed` for an error."""
        ...

    def failure(self, status: int, data: bytes) -> Failure:
        """What an answer with an error status means."""
        ...


@runtime_checkable
class Counting(Protocol):
    """A dialect that can ask how many tokens a request has."""

    def counting(self, exchange: Exchange) -> Outgoing: ...

    def count(self, data: bytes) -> int | None:
        """The number that an answer says; `None` for what is no answer."""
        ...
