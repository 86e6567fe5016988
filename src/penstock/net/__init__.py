"""The network as the request path uses it: an HTTP/1.1 client that costs microseconds."""

from penstock.net.client import HttpClient, Origin
from penstock.net.errors import BadAnswer, CannotConnect, ConnectionBroken, NetworkError, TimedOut
from penstock.net.exchange import Response

__all__ = [
    "BadAnswer",
    "CannotConnect",
    "ConnectionBroken",
    "HttpClient",
    "NetworkError",
    "Origin",
    "Response",
    "TimedOut",
]
