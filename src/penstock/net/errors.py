"""What can go wrong between here and there. None of these holds a header, so none holds a key."""

from __future__ import annotations


class NetworkError(Exception):
    """The base of what `HttpClient` raises."""


class CannotConnect(NetworkError):
    """No connection: refused, unreachable, unknown host, or, with `tls`, a certificate that is not trusted."""

    def __init__(self, reason: str, *, tls: bool = False) -> None:
        super().__init__(reason)
        self.tls = tls


class TimedOut(NetworkError):
    """A wait ended at its deadline. `connecting` says that there was not yet a connection."""

    def __init__(self, *, connecting: bool = False) -> None:
        super().__init__("no connection in time" if connecting else "nothing came in time")
        self.connecting = connecting


class ConnectionBroken(NetworkError):
    """The connection ended before the answer was complete."""


class BadAnswer(NetworkError):
    """What came is not HTTP, or more than may come."""
