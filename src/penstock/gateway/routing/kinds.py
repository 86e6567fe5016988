"""What kind of failure an error is, and what each kind means for what happens next."""

from __future__ import annotations

from penstock.errors import (
    CacheExhausted,
    ConfigError,
    ContextLengthExceeded,
    DeadlineExceeded,
    FailureKind,
    Forbidden,
    InvalidRequest,
    Overloaded,
    RateLimited,
    RequestTimeout,
    Unauthenticated,
    UpstreamFailed,
)

KINDS: tuple[tuple[type[BaseException], FailureKind], ...] = (
    (ContextLengthExceeded, "context_length"),
    (RequestTimeout, "timeout"),
    (InvalidRequest, "bad_request"),
    (RateLimited, "rate_limit"),
    (Overloaded, "overloaded"),
    (CacheExhausted, "overloaded"),
    (DeadlineExceeded, "timeout"),
    (ConfigError, "auth"),
    (Unauthenticated, "auth"),
    (Forbidden, "auth"),
)
"""Our own errors, as local engines raise them. A setting that is missing is nearly always a key."""

PASSING = frozenset[FailureKind](
    {"rate_limit", "overloaded", "timeout", "connection", "server_error", "broken_stream"}
)
"""What may be over with the next attempt."""

OF_THE_TARGET = PASSING - {"rate_limit"} | {"auth"}
"""What says that the target is not well. The others say that it works, and does not want this request."""


def kind_of(error: BaseException) -> FailureKind:
    """The kind of a provider's failure; "server_error" for what nobody foresaw."""
    if isinstance(error, UpstreamFailed):
        return error.kind
    for kind, name in KINDS:
        if isinstance(error, kind):
            return name
    return "server_error"
