"""Errors as HTTP answers, in the shape of the dialect that was asked: what happened, and what to do next.

{"error": {"message": "…", "type": "invalid_request_error", "param": "messages[0].role", "code": "…"}}
{"type": "error", "error": {"type": "invalid_request_error", "message": "…", "code": "…"}}      (Anthropic's)
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import msgspec
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from penstock.errors import NotFound, PenstockError, RateLimited, Unauthenticated, UpstreamFailed
from penstock.models.dialects.anthropic.answers import error_body

logger = logging.getLogger(__name__)

TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
CODES: dict[str, str] = {"context_length": "context_length_exceeded", "content_filter": "content_filter"}
REQUESTS_FAULT = frozenset({"context_length", "content_filter", "bad_request"})
REFUSED = frozenset({400, 413, 422})
UNFINISHED_BODY = frozenset({408, 413})
"""The rest of such a request was not read, so its connection cannot be used again."""


class ErrorDetail(Struct):
    message: str
    type: str
    param: str | None
    code: str


class ErrorBody(Struct):
    """The body of every error, but for callers of Anthropic's dialect."""

    error: ErrorDetail


class MethodNotAllowed(PenstockError):
    status = 405
    code = "method_not_allowed"


def as_penstock(error: BaseException) -> PenstockError:
    """An error that was not foreseen as one of ours; its own words go to the log, not to the client."""
    if isinstance(error, PenstockError):
        return error
    logger.error("unexpected error", exc_info=error)
    return PenstockError("Something failed inside Penstock.", hint="The server's log says what.")


def status_of(error: PenstockError) -> int:
    """An upstream's own status where its answer is forwarded, asks to slow down, or is about the request itself."""
    if isinstance(error, UpstreamFailed):
        if error.body is not None or error.upstream_status == 429:
            return error.upstream_status or error.status
        if error.kind in REQUESTS_FAULT and error.upstream_status in REFUSED:
            return 400
        if error.kind == "overloaded":
            return 503
    return error.status


def code_of(error: PenstockError) -> str:
    """What clients tell errors apart by: the same word, whichever vendor refused."""
    return CODES.get(error.kind, error.code) if isinstance(error, UpstreamFailed) else error.code


def body_of(error: PenstockError, dialect: str = "") -> bytes:
    """The JSON body in a caller's dialect; an upstream's own where it spoke that."""
    if isinstance(error, UpstreamFailed) and error.body is not None:
        return error.body
    status = status_of(error)
    if dialect == "anthropic":
        return error_body(error, status)
    kind = TYPES.get(status) or ("invalid_request_error" if status < 500 else "server_error")
    return msgspec.json.encode(ErrorBody(ErrorDetail(str(error), kind, error.param, code_of(error))))


def headers_of(error: PenstockError) -> list[tuple[bytes, bytes]]:
    """Content type, and when to come back."""
    headers = [(b"content-type", b"application/json"), (b"x-content-type-options", b"nosniff")]
    if error.retry_after is not None:
        headers.append((b"retry-after", str(max(1, round(error.retry_after))).encode()))
    if isinstance(error, Unauthenticated):
        headers.append((b"www-authenticate", b'Bearer realm="penstock"'))
    if error.status in UNFINISHED_BODY:
        headers.append((b"connection", b"close"))
    if isinstance(error, RateLimited):
        headers.extend(error.headers)
    return headers


def dialect_of(scope: Scope) -> str:
    """Which dialect a request is made in, as far as its path and headers say."""
    path: str = scope["path"]
    if path.startswith("/v1/messages"):
        return "anthropic"
    if path.startswith("/v1/models") and any(name == b"anthropic-version" for name, _ in scope["headers"]):
        return "anthropic"
    return "openai"


class ErrorResponse(Response):
    """An error, written in the dialect of the request that it answers."""

    def __init__(self, error: PenstockError) -> None:
        super().__init__(body_of(error), status_of(error))
        self.raw_headers.extend(headers_of(error))
        self._error = error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        dialect = dialect_of(scope)
        if dialect != "openai":
            self.body = body_of(self._error, dialect)
            self.headers["content-length"] = str(len(self.body))
        await super().__call__(scope, receive, send)


def response_of(error: PenstockError) -> Response:
    return ErrorResponse(error)


def of_http(error: HTTPException, scope: Scope) -> PenstockError:
    """What Starlette raises for a path or method that is not served."""
    path, method = scope["path"], scope["method"]
    if error.status_code == 404:
        return NotFound(f"There is nothing at {path}.", hint="GET /api/v1/openapi.json lists what is.")
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        return MethodNotAllowed(f"{path} does not take {method}.", hint=f"It takes {allowed}." if allowed else "")
    found = PenstockError(str(error.detail))
    found.status = error.status_code  # type: ignore[misc]
    return found


async def on_penstock_error(request: Request, error: Exception) -> Response:
    return response_of(as_penstock(error))


async def on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    response = response_of(of_http(error, request.scope))
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    return response


HANDLERS: dict[object, Callable[[Request, Exception], Awaitable[Response]]] = {
    PenstockError: on_penstock_error,
    HTTPException: on_http_error,
    Exception: on_penstock_error,
}
