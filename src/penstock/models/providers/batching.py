"""The files and batches of a vendor whose API is OpenAI's: what it answers by itself, later, at another price."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from penstock.errors import UpstreamFailed
from penstock.models.dialects.openai.dialect import understood_failure
from penstock.models.providers.auth import hidden
from penstock.models.providers.connection import Connection, Patience, Response

T = TypeVar("T")

MAX_ANSWER = 4 << 20
PATIENCE = 120.0
"""Seconds that the vendor may be silent: an upload is checked before it is answered."""
MARK = "penstock_batch"
"""Where a vendor's batch says in its `metadata` whose it is."""
PAGES, PAGE = 10, 100


class VendorErrors(Struct, frozen=True):
    data: list[dict[str, Any]] | None = None


class VendorBatch(Struct, frozen=True):
    """How a batch stands at the vendor."""

    id: str
    status: str
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: VendorErrors | None = None
    metadata: dict[str, str] | None = None

    @property
    def is_over(self) -> bool:
        return self.status in ("completed", "failed", "expired", "cancelled")

    @property
    def problem(self) -> str:
        """Why it failed, in the vendor's words."""
        found = self.errors.data if self.errors is not None else None
        return "; ".join(str(each.get("message", each)) for each in (found or ())[:3])


class VendorFile(Struct, frozen=True):
    id: str


class VendorPage(Struct, frozen=True):
    data: list[VendorBatch]
    has_more: bool = False


class VendorBatches:
    """Methods raise `UpstreamFailed`. `path` is the form of a request's path, with `{}` for the resource's."""

    def __init__(self, name: str, connection: Connection, path: str, hide: Sequence[str]) -> None:
        self.name = name
        self._connection = connection
        self._form = path
        self._hide = hide

    async def upload(self, filename: str, data: bytes) -> str:
        """The vendor's id of a file of requests."""
        boundary = secrets.token_hex(16)
        field = f"--{boundary}\r\nContent-Disposition: form-data; name="
        head = f'{field}"purpose"\r\n\r\nbatch\r\n{field}"file"; filename="{filename}"\r\n\r\n'
        body = b"".join((head.encode(), data, f"\r\n--{boundary}--\r\n".encode()))
        headers = (("Content-Type", f"multipart/form-data; boundary={boundary}"),)
        response = await self._connection.post(self._path("/files"), body, Patience(PATIENCE), headers)
        return (await self._read(response, VendorFile)).id

    async def create(self, file_id: str, endpoint: str, mark: str) -> VendorBatch:
        """Begins a batch that `find` finds again by its mark."""
        asked = {
            "input_file_id": file_id,
            "endpoint": endpoint,
            "completion_window": "24h",
            "metadata": {MARK: mark},
        }
        path = self._path("/batches")
        response = await self._connection.post(path, msgspec.json.encode(asked), Patience(PATIENCE))
        return await self._read(response, VendorBatch)

    async def find(self, mark: str) -> VendorBatch | None:
        """The batch of that mark, among the newest thousand."""
        after = ""
        for _ in range(PAGES):
            page = await self._get(f"/batches?limit={PAGE}{after}", VendorPage)
            for batch in page.data:
                if (batch.metadata or {}).get(MARK) == mark:
                    return batch
            if not page.has_more or not page.data:
                return None
            after = f"&after={page.data[-1].id}"
        return None

    async def get(self, id: str) -> VendorBatch:
        return await self._get(f"/batches/{id}", VendorBatch)

    async def cancel(self, id: str) -> VendorBatch:
        response = await self._connection.post(self._path(f"/batches/{id}/cancel"), b"{}", Patience(PATIENCE))
        return await self._read(response, VendorBatch)

    async def lines(self, file_id: str, longest: int) -> AsyncIterator[bytes]:
        """The lines of a file that the vendor wrote, one in memory at a time."""
        patience = Patience(PATIENCE, PATIENCE)
        response = await self._connection.get(self._path(f"/files/{file_id}/content"), patience)
        try:
            if response.status != 200:
                raise self._refusal(response.status, await response.body(MAX_ANSWER))
            rest = b""
            while data := await response.read():
                *whole, rest = (rest + data).split(b"\n")
                for line in whole:
                    yield line
                if len(rest) > longest:
                    raise UpstreamFailed(f"{self.name} sent a line of more than {longest >> 20} MiB.")
            if rest:
                yield rest
        finally:
            response.release()

    async def _get(self, path: str, kind: type[T]) -> T:
        return await self._read(await self._connection.get(self._path(path), Patience(PATIENCE)), kind)

    async def _read(self, response: Response, kind: type[T]) -> T:
        try:
            body = await response.body(MAX_ANSWER)
        finally:
            response.release()
        if response.status not in (200, 201):
            raise self._refusal(response.status, body)
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.MsgspecError:
            raise UpstreamFailed(f"{self.name} gave an answer about a batch that cannot be read.") from None

    def _refusal(self, status: int, body: bytes) -> UpstreamFailed:
        failure = understood_failure(status, body)
        said = hidden(failure.message, self._hide) if failure.kind != "auth" else "it refused the key"
        return UpstreamFailed(
            f"{self.name} answered with status {status}{f': {said}' if said else ''}",
            kind=failure.kind,
            upstream_status=status,
        )

    def _path(self, path: str) -> str:
        plain, mark, query = path.partition("?")
        return self._form.format(plain) + mark + query
