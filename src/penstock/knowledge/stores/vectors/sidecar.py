"""The file beside the database that holds a graph with the vectors it was made of: `knowledge-NAME.hnsw`.

It can always be made again, and is never believed: a header says of which generation it is, a checksum covers every
byte, and it comes into being by a rename. Its content is mapped, not read, so that the system may drop and fetch
pages of it as memory allows.

    magic | length of header | header (msgpack) | rows | documents | live | vectors | graph

each padded to 64 bytes.
"""

from __future__ import annotations

import mmap
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from penstock.exchange import LOCAL_PROJECT
from penstock.knowledge.stores.records import Published
from penstock.knowledge.stores.vectors.exact import Vectors
from penstock.knowledge.stores.vectors.graph import Graph, GraphShape

MAGIC = b"PENSTOCK VECTORS 1\n\n"
ALIGNED = 64
AT_ONCE = 1 << 24


class Header(Struct, frozen=True, kw_only=True):
    """Of what a file is: a generation of a project by its embedder, and when that was published."""

    project: str
    generation: Published
    published_at: int
    rows: int
    shape: GraphShape
    graph_bytes: int
    checksum: bytes = bytes(4)


class Content(Struct, frozen=True):
    """What a file holds, by position: chunk rows, document rows, whether the generation shows it, vectors."""

    rows: NDArray[np.int64]
    documents: NDArray[np.int64]
    live: NDArray[np.bool_]
    vectors: Vectors


class Opened(Struct, frozen=True):
    """A file as it lies mapped."""

    header: Header
    content: Content
    graph: Graph


def path_of(database: Path, project_id: str) -> Path:
    """Where the file of a project's knowledge is."""
    own = "" if project_id == LOCAL_PROJECT else f"-{project_id}"
    return database.with_name(f"{database.stem}{own}.hnsw")


def write(path: Path, header: Header, content: Content, save_graph: Callable[[Path], None]) -> None:
    """Writes the file whole or not at all. Raises `OSError`."""
    unfinished, graph = path.with_suffix(".hnsw-new"), path.with_suffix(".hnsw-graph")
    try:
        save_graph(graph)
        with unfinished.open("wb+") as file:
            header = msgspec.structs.replace(header, graph_bytes=graph.stat().st_size)
            begin(file, header)
            body = file.tell()
            arrays: tuple[NDArray[Any], ...] = (content.rows, content.documents, content.live, content.vectors)
            for array in arrays:
                file.write(np.ascontiguousarray(array).data.cast("B"))
                pad(file)
            with graph.open("rb") as source:
                shutil.copyfileobj(source, file, AT_ONCE)
            file.flush()
            begin(file, msgspec.structs.replace(header, checksum=checksum_from(file, body, header)))
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
        graph.unlink(missing_ok=True)


def read(path: Path) -> Opened | None:
    """The file, mapped; `None` where there is none, or it is not what was once written."""
    try:
        with path.open("rb") as file:
            mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError):
        return None
    header_at = len(MAGIC) + 4
    if bytes(mapped[: len(MAGIC)]) != MAGIC or len(mapped) < header_at:
        return None
    length = int.from_bytes(mapped[len(MAGIC) : header_at], "little")
    try:
        header = msgspec.msgpack.decode(mapped[header_at : header_at + length], type=Header)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
    body = aligned(header_at + length)
    if header.checksum != as_bytes(zlib.crc32(mapped[body:], checksum_of(header))):
        return None
    return opened(header, mapped[body:])


def opened(header: Header, body: memoryview) -> Opened:
    count, dimensions = header.rows, header.shape.dimensions
    arrays: list[NDArray[np.generic]] = []
    at = 0
    for kind, width in ((np.int64, 1), (np.int64, 1), (np.bool_, 1), (np.float16, dimensions)):
        arrays.append(np.frombuffer(body, dtype=kind, count=count * width, offset=at))
        at = aligned(at + arrays[-1].nbytes)
    rows, documents, live, vectors = arrays
    content = Content(
        rows.astype(np.int64, copy=False),
        documents.astype(np.int64, copy=False),
        live.astype(np.bool_, copy=False),
        vectors.astype(np.float16, copy=False).reshape(count, dimensions),
    )
    return Opened(header, content, Graph(header.shape, body[at : at + header.graph_bytes]))


def begin(file: BinaryIO, header: Header) -> None:
    encoded = msgspec.msgpack.encode(header)
    file.write(MAGIC + len(encoded).to_bytes(4, "little") + encoded)
    pad(file)


def pad(file: BinaryIO) -> None:
    file.write(bytes(aligned(file.tell()) - file.tell()))


def aligned(at: int) -> int:
    return -(-at // ALIGNED) * ALIGNED


def checksum_from(file: BinaryIO, start: int, header: Header) -> bytes:
    """Of the header and all that comes after it; the file is at its beginning then."""
    file.seek(start)
    checksum = checksum_of(header)
    while piece := file.read(AT_ONCE):
        checksum = zlib.crc32(piece, checksum)
    file.seek(0)
    return as_bytes(checksum)


def checksum_of(header: Header) -> int:
    return zlib.crc32(msgspec.msgpack.encode(msgspec.structs.replace(header, checksum=bytes(4))))


def as_bytes(checksum: int) -> bytes:
    return checksum.to_bytes(4, "little")
