"""Documents that others send: kept in the knowledge's own database, since they are nowhere else."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import get_args

import msgspec
from msgspec import Struct

from penstock.errors import BodyTooLarge, InvalidRequest, NotFound
from penstock.knowledge.filters import LONGEST_NAME, Metadata
from penstock.knowledge.loaders.kinds import Kind, kind_of
from penstock.knowledge.sources.base import Item, Listing
from penstock.knowledge.sources.reach import normal
from penstock.knowledge.stores.pushed import PushedRow, PushedStore

MOST_AT_ONCE = 500
LONGEST_KEY = 1000
LONGEST_TEXT = 1000
MOST_FIELDS = 100
LARGEST = 1 << 63
READER = re.compile(r"(project|key|role|group):\S.*")
KINDS: tuple[Kind, ...] = get_args(Kind)


class PushedDocument(Struct, frozen=True, kw_only=True):
    """A document as it was sent. `kind` is `None` where its key says it."""

    key: str
    data: bytes
    kind: Kind | None = None
    title: str = ""
    url: str = ""
    metadata: Metadata = {}
    readers: tuple[str, ...] = ()


class PushedSource:
    """What was pushed, by key. Documents go one by one and by name, so a run may delete all."""

    name = "pushed"
    max_delete = 1.0

    def __init__(self, store: PushedStore) -> None:
        self._store = store

    async def list(self, cursor: bytes) -> Listing:
        rows = await asyncio.to_thread(self._store.rows)
        return Listing(items=tuple(map(item_of, rows)))

    async def fetch(self, item: Item, folder: Path) -> Path:
        data = await asyncio.to_thread(self._store.data, item.key)
        if data is None:
            raise NotFound(f"{item.key} was deleted.")
        return await asyncio.to_thread(write, folder, data)

    async def close(self) -> None: ...


def item_of(row: PushedRow) -> Item:
    return Item(
        key=row.key,
        version=row.digest,
        kind=msgspec.convert(row.kind, Kind),
        location=b"",
        metadata=row.metadata,
        readers=row.readers,
        title=row.title,
        url=row.url,
        modified_us=row.pushed_at,
        size=row.size,
    )


def checked(documents: Sequence[PushedDocument], max_bytes: int, now_us: int) -> list[tuple[PushedRow, bytes]]:
    """What is to be kept of each document. Raises `InvalidRequest` that names the first wrong one by its place, or
    `BodyTooLarge`."""
    if not 1 <= len(documents) <= MOST_AT_ONCE:
        raise InvalidRequest(
            f"There are {len(documents)} documents in one request.",
            hint=f"Send 1 to {MOST_AT_ONCE}, and the rest in further requests.",
            param="documents",
        )
    seen: dict[str, int] = {}
    rows = []
    for number, document in enumerate(documents):
        place = f"documents[{number}]"
        check_key(document.key, f"{place}.key")
        if document.key in seen:
            raise InvalidRequest(
                f"{place}.key {document.key[:80]!r} is that of documents[{seen[document.key]}], too.",
                hint="Send each document once.",
                param=f"{place}.key",
            )
        seen[document.key] = number
        if len(document.data) > max_bytes:
            raise BodyTooLarge(
                f"{document.key[:80]!r} has {len(document.data) / 1e6:,.1f} MB, more than the"
                f" {max_bytes / 1e6:,.0f} MB that one file may have.",
                hint="Split it, or raise max_file_mb.",
            )
        rows.append((row_of(document, place, now_us), document.data))
    return rows


def row_of(document: PushedDocument, place: str, now_us: int) -> PushedRow:
    check_words(document, place)
    check_metadata(document.metadata, place)
    kind = document.kind or kind_of(PurePosixPath(document.key).name)
    if kind is None:
        raise InvalidRequest(
            f"{place}.kind is missing, and the key {document.key[:80]!r} does not say what it is.",
            hint=f"Give it one of: {', '.join(KINDS)}.",
            param=f"{place}.kind",
        )
    return PushedRow(
        key=document.key,
        kind=kind,
        title=document.title,
        url=document.url,
        metadata=document.metadata,
        readers=tuple(dict.fromkeys(document.readers)),
        digest=hashlib.sha256(document.data).hexdigest(),
        size=len(document.data),
        pushed_at=now_us,
    )


def check_key(key: str, place: str) -> None:
    if not key.strip() or len(key) > LONGEST_KEY or not key.isprintable():
        raise InvalidRequest(
            f"{place} {key[:40]!r} is not a key.",
            hint=f"A key is one line of 1 to {LONGEST_KEY:,} characters, such as 'hr/leave.md'.",
            param=place,
        )


def check_words(document: PushedDocument, place: str) -> None:
    if len(document.title) > LONGEST_TEXT:
        raise InvalidRequest(
            f"{place}.title has {len(document.title):,} characters.",
            hint=f"Send at most {LONGEST_TEXT:,}.",
            param=f"{place}.title",
        )
    if document.url and normal(document.url) is None:
        raise InvalidRequest(
            f"{place}.url {document.url[:80]!r} is not an address of http or https.",
            hint="Send one such as 'https://example.com/leave', or none.",
            param=f"{place}.url",
        )
    for reader in document.readers:
        if not READER.fullmatch(reader):
            raise InvalidRequest(
                f"{place}.readers has {reader[:80]!r}.",
                hint="Readers are such as 'group:hr', 'project:acme', 'role:viewer' or 'key:ci'.",
                param=f"{place}.readers",
            )


def check_metadata(metadata: Metadata, place: str) -> None:
    if len(metadata) > MOST_FIELDS:
        raise InvalidRequest(
            f"{place}.metadata has {len(metadata)} fields.", hint=f"Send at most {MOST_FIELDS}.", param=place
        )
    for name, value in metadata.items():
        if isinstance(value, int) and not -LARGEST <= value < LARGEST:
            raise InvalidRequest(
                f"{place}.metadata has a field {name[:LONGEST_NAME]!r} whose number does not fit into 64 bits.",
                hint="Send it as a text.",
                param=f"{place}.metadata",
            )
        texts = value if isinstance(value, tuple) else (value,)
        long = any(isinstance(text, str) and len(text) > LONGEST_TEXT for text in texts)
        if not 1 <= len(name) <= LONGEST_NAME or long or len(texts) > LONGEST_TEXT:
            raise InvalidRequest(
                f"{place}.metadata has a field {name[:LONGEST_NAME]!r} that is too long.",
                hint=f"Names have at most {LONGEST_NAME} characters, texts {LONGEST_TEXT:,}.",
                param=f"{place}.metadata",
            )


def write(folder: Path, data: bytes) -> Path:
    handle, name = tempfile.mkstemp(dir=folder, prefix="pushed-")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    return Path(name)
