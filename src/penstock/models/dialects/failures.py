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
    429: "rate_limit",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}
TOO_LONG = re.compile(
    r"context.{0,20}(length|window|size|limit)|prompt is too long|(input|prompt|request).{0,40}too (long|large)"
    r"|(input|prompt|request) .{0,40}(exceeds?|longer than) .{0,60}(token|length|maximum)|too many (input )?tokens"
    r"|reduce the length|maximum (number of )?tokens|input token count|maximum prompt length"
    r"|max_new_tokens` must be|must have less than \d+ tokens",
    re.IGNORECASE,
)
"""How vendors say that a prompt is too long; none of them agrees with another on a code for it."""

WORDS: tuple[tuple[frozenset[int], FailureKind, re.Pattern[str]], ...] = (
    (
        frozenset({400, 403, 422}),
        "content_filter",
        re.compile(r"content (filter|management polic)|was flagged|blocked by a guardrail", re.IGNORECASE),
    ),
    (frozenset({400, 413, 422}), "context_length", TOO_LONG),
    (
        frozenset({400, 422}),
        "auth",
        re.compile(
            r"(incorrect|invalid|expired) api[ _-]?key|api key (not valid|not found|expired)", re.IGNORECASE
        ),
    ),
    (
        frozenset({429, 500, 502, 503}),
        "overloaded",
        re.compile(r"overloaded|over capacity|too busy|server busy", re.IGNORECASE),
    ),
)
"""What a message tells that its status does not."""


def kind_of(status: int, message: str = "") -> FailureKind:
    """The kind of an error whose body has no better word for it."""
    for statuses, kind, words in WORDS:
        if status in statuses and words.search(message):
            return kind
    return STATUSES.get(status) or ("server_error" if status >= 500 else "bad_request")


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
