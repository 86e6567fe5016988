"""What is common to the errors of all vendors: status codes, and when to come back."""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime

from penstock.errors import FailureKind

STATUSES: dict[int, FailureKind] = {
    401: "auth",
    402: "auth",
    403: "auth",
    408: "timeout",
    413: "context_length",
    429: "rate_limit",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}
TOO_LONG = re.compile(
    r"context.{0,20}(length|window|size|limit)|prompt is too long|(input|prompt|request).{0,40}too (long|large)"
    r"|(input|prompt|request) .{0,40}(exceeds?|longer than) .{0,60}(token|length|maximum)|too many (input )?tokens"
    r"|reduce the length|maximum (number of )?tokens|input token count",
    re.IGNORECASE,
)
"""How vendors say that a prompt is too long; none of them agrees with another on a code for it."""


def kind_of(status: int, message: str = "") -> FailureKind:
    """The kind of an error whose body has no better word for it."""
    found = STATUSES.get(status)
    if found == "context_length" or status in (400, 422):
        return "context_length" if TOO_LONG.search(message) else "bad_request"
    if found is not None:
        return found
    return "server_error" if status >= 500 else "bad_request"


def retry_after(header: str | None, milliseconds: str | None = None) -> float | None:
    """Seconds from a Retry-After header, in either of its forms, or from `retry-after-ms`."""
    try:
        if milliseconds:
            return max(0.0, float(milliseconds) / 1000)
        if not header:
            return None
        if header.strip()[:1].isalpha():
            return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
        return max(0.0, float(header))
    except (ValueError, OverflowError):
        return None
