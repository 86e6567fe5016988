"""Routes that say what they take and give, so that the OpenAPI file is made from them.

Each module under `http/api/` has a `ROUTES: list[ApiRoute]`. A handler is `async def name(request) -> Response`
and finds everything at `request.app.state.services`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from penstock.access.routes import JSON_TYPE, GuardedRoute
from penstock.access.routes import principal_of as principal_of
from penstock.exchange import Role
from penstock.models.dialects.decoding import decode, explain

T = TypeVar("T")
S = TypeVar("S", bound=Struct)
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Handler = Callable[[Request], Awaitable[Response]]
"""What answers a request; an ASGI application does, too."""


LARGEST = (1 << 63) - 1
"""The largest number that a database takes."""

UPLOAD_TYPE = "application/octet-stream"
"""Unlike a form, a page of another origin cannot send this without being asked first."""


FORM_TYPE = "multipart/form-data"
EVENTS = (JSON_TYPE, "text/event-stream")
"""The media types of an answer that is streamed where the request says so."""


class Description(Struct, frozen=True, kw_only=True):
    """What a route takes and gives: the types of its query string, its body and its answer, and who may use it.

    `role` is the least that is needed, `None` for everybody: what does not say so is the owner's.

    The body of `upload` routes is a file, declared as `UPLOAD_TYPE`, up to the upload limit; one that has a `body`
    takes that as JSON, too. With `form`, `body` are the fields of a form, with `upload` of one whose file is read
    as it comes. All others take JSON. `other_answer` is what comes where JSON took the file's place. `answer_type`
    is the answer's media type, where it is another, and `status` what it says when all went well.
    """

    summary: str
    role: Role | None = "owner"
    query: type[Struct] | None = None
    body: type[Any] | None = None
    answer: Any = None
    other_answer: Any = None
    upload: bool = False
    form: bool = False
    example: Mapping[str, Any] | None = None
    answer_types: tuple[str, ...] = (JSON_TYPE,)
    status: int = 200
    error: type[Struct] | None = None

    @property
    def media_type(self) -> str:
        """What the body must be declared as."""
        if self.form:
            return FORM_TYPE
        return UPLOAD_TYPE if self.upload else JSON_TYPE


class ApiRoute(GuardedRoute):
    """One method of one path, with its description."""

    def __init__(self, method: Method, path: str, handler: Handler | ASGIApp, description: Description) -> None:
        super().__init__(path, handler, role=description.role, methods=(method,), media_type=description.media_type)
        self.method = method
        self.description = description

    @property
    def media_types(self) -> tuple[str, ...]:
        described = self.description
        both = described.upload and described.body is not None and not described.form
        return (UPLOAD_TYPE, JSON_TYPE) if both else (self.media_type,)


async def read_json(request: Request, kind: type[T]) -> T:
    """The body as a value of `kind`. Raises `InvalidRequest` that names the place of what is wrong."""
    return decode(msgspec.json.Decoder(kind), await request.body())


def read_query(request: Request, kind: type[S]) -> S:
    """The query string as a value of `kind`, numbers and booleans converted. Raises `InvalidRequest`."""
    try:
        return msgspec.convert(dict(request.query_params), kind, strict=False)
    except msgspec.ValidationError as error:
        raise explain(error) from None


def reply(value: Any, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")
