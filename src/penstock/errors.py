"""Every error that Penstock raises on purpose, each with a status, a code and a next step.

    PenstockError                 500 internal_error
    ├── InvalidRequest            400 invalid_request
    │   ├── ContextLengthExceeded 400 context_length_exceeded
    │   ├── UnsupportedFeature    400 unsupported_feature
    │   ├── InvalidConstraint     400 invalid_constraint
    │   ├── RequestTimeout        408 request_timeout
    │   ├── BodyTooLarge          413 body_too_large
    │   └── UnsupportedMediaType  415 unsupported_media_type
    ├── Unauthenticated           401 invalid_api_key
    ├── Forbidden                 403 forbidden
    ├── NotFound                  404 not_found
    │   └── ModelNotFound         404 model_not_found
    ├── Overloaded                429 overloaded
    ├── RateLimited               429 rate_limit_exceeded
    │   └── BudgetExceeded        429 insufficient_quota
    ├── Conflict                  409 conflict
    ├── Unavailable               503 unavailable
    │   ├── EngineStopped         503 engine_stopped
    │   └── CacheExhausted        503 cache_exhausted
    ├── UpstreamFailed            502 upstream_failed
    ├── DeadlineExceeded          504 deadline_exceeded
    │   └── UpstreamTimeout       504 deadline_exceeded (an UpstreamFailed, too)
    ├── NotCached                 504 not_cached
    ├── StorageFull               507 storage_full
    ├── StorageError              500 storage_error
    ├── ConfigError               500 config_error
    └── PullFailed                502 pull_failed

A message names the thing and the value; `hint` says what to do. The HTTP dialects render both in one
place each, and the CLI in one.
"""

from __future__ import annotations

from typing import ClassVar, Literal

FailureKind = Literal[
    "rate_limit",
    "overloaded",
    "timeout",
    "connection",
    "server_error",
    "context_length",
    "auth",
    "bad_request",
    "content_filter",
    "broken_stream",
]
"""Why a provider failed, whatever its own words for it are: what a route decides by."""


class PenstockError(Exception):
    """The base of the tree: carries what an HTTP answer, a trace and a terminal need to say."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.param = param
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InvalidRequest(PenstockError):
    status = 400
    code = "invalid_request"


class ContextLengthExceeded(InvalidRequest):
    code = "context_length_exceeded"


class UnsupportedFeature(InvalidRequest):
    code = "unsupported_feature"


class InvalidConstraint(InvalidRequest):
    code = "invalid_constraint"


class RequestTimeout(InvalidRequest):
    status = 408
    code = "request_timeout"


class BodyTooLarge(InvalidRequest):
    status = 413
    code = "body_too_large"


class UnsupportedMediaType(InvalidRequest):
    status = 415
    code = "unsupported_media_type"


class Unauthenticated(PenstockError):
    status = 401
    code = "invalid_api_key"


class Forbidden(PenstockError):
    status = 403
    code = "forbidden"


class NotFound(PenstockError):
    status = 404
    code = "not_found"


class ModelNotFound(NotFound):
    code = "model_not_found"


class Overloaded(PenstockError):
    status = 429
    code = "overloaded"


class RateLimited(PenstockError):
    """A limit on requests, tokens or concurrency is reached; `retry_after` says when it may be over.

    `headers` are HTTP headers that say what is left.
    """

    status = 429
    code = "rate_limit_exceeded"
    headers: tuple[tuple[bytes, bytes], ...] = ()


class BudgetExceeded(RateLimited):
    """A limit on money is reached."""

    code = "insufficient_quota"


class Conflict(PenstockError):
    status = 409
    code = "conflict"


class Unavailable(PenstockError):
    status = 503
    code = "unavailable"


class EngineStopped(Unavailable):
    code = "engine_stopped"


class CacheExhausted(Unavailable):
    code = "cache_exhausted"


class UpstreamFailed(PenstockError):
    """A provider answered with an error or not at all; `upstream_status` is its HTTP status, if any.

    `body` is the provider's own error, where the caller speaks its dialect.
    """

    status = 502
    code = "upstream_failed"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        param: str | None = None,
        retry_after: float | None = None,
        kind: FailureKind = "server_error",
        upstream_status: int | None = None,
        body: bytes | None = None,
    ) -> None:
        super().__init__(message, hint=hint, param=param, retry_after=retry_after)
        self.kind = kind
        self.upstream_status = upstream_status
        self.body = body


class DeadlineExceeded(PenstockError):
    """The time for a request is over."""

    status = 504
    code = "deadline_exceeded"


class UpstreamTimeout(UpstreamFailed, DeadlineExceeded):
    """A provider was silent for longer than it may be; the request itself has time left. `kind` is "timeout"."""

    status = 504
    code = "deadline_exceeded"


class NotCached(PenstockError):
    """A caller wanted a stored answer or none (RFC 9111, `only-if-cached`), and there is none."""

    status = 504
    code = "not_cached"


class StorageFull(PenstockError):
    status = 507
    code = "storage_full"


class StorageError(PenstockError):
    code = "storage_error"


class ConfigError(PenstockError):
    code = "config_error"


class PullFailed(PenstockError):
    status = 502
    code = "pull_failed"
