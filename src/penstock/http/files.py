"""OpenAI's files: /v1/files. What a project sent, and what its batches wrote."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from penstock.batches.files.store import FileStore
from penstock.batches.files.values import GIVEN, FilePage, NewFile, Order, StoredFile
from penstock.batches.service import Batches
from penstock.errors import InvalidRequest, NotFound
from penstock.http.forms import FormWithFile
from penstock.http.routes import ApiRoute, Description, principal_of, read_query, reply

PATH = "/v1/files"
ONE = PATH + "/{file_id}"
ANCHOR, SECONDS = "expires_after[anchor]", "expires_after[seconds]"
SHORTEST, LONGEST = 3600, 2_592_000
"""Seconds that a file may be kept, where its sender says how long."""
MOST_NAME = 255
MOST_PAGE = 10_000


class FileForm(Struct):
    """The fields of the form. Without `expires_after` the file is kept until it is deleted."""

    file: bytes
    purpose: str
    expires_after_anchor: str | None = msgspec.field(default=None, name=ANCHOR)
    expires_after_seconds: int | None = msgspec.field(default=None, name=SECONDS)


class FilesQuery(Struct):
    """`after` is the id of a file; `order` is of time."""

    purpose: str | None = None
    after: str | None = None
    limit: int = MOST_PAGE
    order: Order = "desc"


class FileWire(Struct, frozen=True, kw_only=True):
    id: str
    object: str = "file"
    bytes: int
    created_at: int
    expires_at: int | None = None
    filename: str
    purpose: str
    status: str = "processed"


class FileList(Struct, frozen=True, kw_only=True):
    object: str = "list"
    data: list[FileWire]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileDeleted(Struct, frozen=True):
    id: str
    object: str = "file"
    deleted: bool = True


def file_wire(file: StoredFile) -> FileWire:
    return FileWire(
        id=file.id,
        bytes=file.size,
        created_at=file.created_us // 1_000_000,
        expires_at=None if file.expires_us is None else file.expires_us // 1_000_000,
        filename=file.filename,
        purpose=file.purpose,
    )


async def create_file(request: Request) -> Response:
    project_id = principal_of(request).project_id
    files = files_of(request)
    form = FormWithFile(request.headers.get("content-type", ""))
    incoming = await files.receive()
    try:

        async def take(data: bytes) -> None:
            await asyncio.to_thread(incoming.write, data)

        await form.read(request.receive, take)
        file = await files.keep(incoming, new_file(project_id, form))
    finally:
        await asyncio.to_thread(incoming.close)
    return reply(file_wire(file))


def new_file(project_id: str, form: FormWithFile) -> NewFile:
    """What a form says of its file. Raises `InvalidRequest`."""
    if form.filename is None:
        raise InvalidRequest("The form has no field 'file'.", hint="Send the content as 'file'.", param="file")
    fields = dict(form.fields)
    purpose, anchor, seconds = (fields.pop(name, None) for name in ("purpose", ANCHOR, SECONDS))
    if fields:
        name = next(iter(fields))
        raise InvalidRequest(f"A file has no {name[:60]!r}.", hint="Leave it out.", param=name[:60])
    if purpose not in GIVEN:
        raise InvalidRequest(
            f"'purpose' is {(purpose or '')[:40]!r}.", hint=f"It is one of {', '.join(GIVEN)}.", param="purpose"
        )
    return NewFile(
        project_id=project_id,
        purpose=purpose,
        filename=printable(form.filename),
        seconds=None if anchor is None and seconds is None else kept_seconds(anchor, seconds),
    )


def kept_seconds(anchor: str | None, seconds: str | int | None, name: str = "expires_after") -> int:
    """How long a file is kept. Raises `InvalidRequest`."""
    if anchor != "created_at":
        raise InvalidRequest(f"'{name}.anchor' must be 'created_at'.", param=f"{name}.anchor")
    number = int(seconds) if isinstance(seconds, int) or (seconds or "").isdecimal() else 0  # type: ignore[arg-type]
    if not SHORTEST <= number <= LONGEST:
        raise InvalidRequest(
            f"'{name}.seconds' must be from {SHORTEST} to {LONGEST}.",
            hint="That is an hour to 30 days.",
            param=f"{name}.seconds",
        )
    return number


def printable(filename: str) -> str:
    """A name for people, without folders; it never becomes a path."""
    plain = filename.replace("\\", "/").rpartition("/")[2]
    return "".join(letter for letter in plain if letter.isprintable())[:MOST_NAME] or "file"


async def list_files(request: Request) -> Response:
    query = read_query(request, FilesQuery)
    if not 1 <= query.limit <= MOST_PAGE:
        raise InvalidRequest(f"limit {query.limit} is out of range.", hint=f"Use 1 to {MOST_PAGE}.", param="limit")
    wanted = FilePage(
        project_id=principal_of(request).project_id,
        purpose=query.purpose,
        after=query.after,
        limit=query.limit,
        order=query.order,
    )
    found, has_more = await files_of(request).page(wanted)
    data = [file_wire(file) for file in found]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return reply(FileList(data=data, first_id=first, last_id=last, has_more=has_more))


async def get_file(request: Request) -> Response:
    return reply(file_wire(await files_of(request).get(*named(request))))


async def get_content(request: Request) -> Response:
    file, path = await files_of(request).content(*named(request))
    headers = {
        "content-disposition": f"attachment; filename*=UTF-8''{quote(file.filename)}",
        "x-content-type-options": "nosniff",
        "etag": f'"{file.sha256.hex()}"',
        "content-length": str(file.size),
    }
    return FileResponse(path, media_type="application/octet-stream", headers=headers)


async def delete_file(request: Request) -> Response:
    project_id, id = named(request)
    await files_of(request).delete(project_id, id)
    return reply(FileDeleted(id))


def named(request: Request) -> tuple[str, str]:
    """Whose file, and which."""
    return principal_of(request).project_id, request.path_params["file_id"]


def batches_of(request: Request) -> Batches:
    batches: Batches | None = request.app.state.batches
    if batches is None:
        raise NotFound("This server keeps no files.", hint="Start it with `penstock up`.")
    return batches


def files_of(request: Request) -> FileStore:
    return batches_of(request).files


ROUTES = [
    ApiRoute(
        "POST",
        PATH,
        create_file,
        Description(
            role="developer", summary="Takes a file.", body=FileForm, answer=FileWire, form=True, upload=True
        ),
    ),
    ApiRoute(
        "GET",
        PATH,
        list_files,
        Description(role="developer", summary="Lists files.", query=FilesQuery, answer=FileList),
    ),
    ApiRoute("GET", ONE, get_file, Description(role="developer", summary="One file.", answer=FileWire)),
    ApiRoute(
        "GET",
        ONE + "/content",
        get_content,
        Description(role="developer", summary="What is in a file.", answer_types=("application/octet-stream",)),
    ),
    ApiRoute(
        "DELETE", ONE, delete_file, Description(role="developer", summary="Deletes a file.", answer=FileDeleted)
    ),
]
