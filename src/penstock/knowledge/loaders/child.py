"""The process that reads files: whatever a file does to it, it does to nobody else.

One request at a time: the file is read once, so that its digest, its text and its passages are of the same
bytes. Memory is limited by the kernel, time by the parent, which kills this process when it takes too long.
"""

from __future__ import annotations

import bisect
import errno
import functools
import hashlib
import os
import resource
import stat as modes
import sys
import time
from pathlib import Path

import msgspec

from penstock.knowledge.chunking import ChunkOptions, Passage, Tokenizer, chunk
from penstock.knowledge.chunking.semantic import semantic_grains
from penstock.knowledge.chunking.units import Unit
from penstock.knowledge.loaders.base import LoadedDocument, ReadRules, Unloadable
from penstock.knowledge.loaders.kinds import loader_of
from penstock.knowledge.loaders.messages import CutPassage, ReaderSetup, ReadRequest, ReadResult
from penstock.knowledge.loaders.places import Locator
from penstock.knowledge.values import Heading, Stat
from penstock.process import FrameSocket

ATTEMPTS = 3
SHARE = 0.75
"""Of the time for one file: what a loader does piece by piece, it ends by then, with what it has."""


class FileBytes(msgspec.Struct, frozen=True):
    """The content of a file and what it was called by the file system when it was read."""

    data: bytes
    stat: Stat


class Content(msgspec.Struct, frozen=True):
    """The content of a file, and what is known of it before it is interpreted."""

    data: bytes
    identity: ReadResult


def main() -> None:
    sock = FrameSocket.from_argument(sys.argv[1])
    setup = msgspec.msgpack.decode(sock.receive() or b"", type=ReaderSetup)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # elsewhere the limit is not kept, or counts what is only reserved
        resource.setrlimit(resource.RLIMIT_AS, (setup.memory_bytes, setup.memory_bytes))
    decoder = msgspec.msgpack.Decoder(ReadRequest)
    sock.send(b"ready")
    while True:
        try:
            frame = sock.receive()
        except EOFError:
            return
        result = read(decoder.decode(frame or b""), setup)
        sock.send(msgspec.msgpack.encode(result))


def read(request: ReadRequest, setup: ReaderSetup) -> ReadResult:
    """Reads one file. Never raises: everything a file can do wrong is a status."""
    content = read_content(request.path, setup)
    if isinstance(content, ReadResult):
        return content
    deadline = time.monotonic() + setup.seconds * SHARE
    identity = content.identity
    try:
        return interpret(request, content.data, identity, deadline)
    except Unloadable as problem:
        return msgspec.structs.replace(identity, status=problem.status, reason=problem.reason)
    except MemoryError:
        return msgspec.structs.replace(
            identity,
            status="too_large",
            reason=f"Reading it needs more than {setup.memory_bytes // 1_000_000} MB of memory. Split it, or raise"
            " parse_memory_mb.",
        )
    except Exception as error:
        return msgspec.structs.replace(
            identity,
            status="corrupt",
            reason=f"It could not be read ({type(error).__name__}: {error}). Open it in its own program and save it"
            " again.",
        )


def read_content(path: bytes, setup: ReaderSetup) -> Content | ReadResult:
    """The bytes of a file with their digest, or why there are none."""
    try:
        content = read_bytes(path, setup.max_file_bytes)
    except Unloadable as problem:
        return ReadResult(status=problem.status, reason=problem.reason)
    except FileNotFoundError:
        return ReadResult(status="vanished", reason="It went away while it was being read.")
    except OSError as error:
        return ReadResult(status="unreadable", reason=f"{error.strerror or error}. {remedy(error)}")
    digest = hashlib.sha256(content.data).hexdigest()
    return Content(content.data, ReadResult(status="ok", digest=digest, stat=content.stat))


def interpret(request: ReadRequest, data: bytes, identity: ReadResult, deadline: float) -> ReadResult:
    """The bytes as text in passages. Raises `Unloadable`, and whatever a library raises at bad input."""
    if not data:
        raise Unloadable("no_text", "It is empty.")
    loaded = encodable(loader_of(request.kind, ReadRules(deadline, request.languages))(data))
    if not loaded.text.strip():
        raise Unloadable("no_text", "There is no text in it.")
    locator = Locator(loaded.text, loaded.places)
    tokenizer = tokenizer_of(request.chunking)
    grains: tuple[Unit, ...] = ()
    if request.chunking.strategy == "semantic":
        grains = tuple(semantic_grains(loaded.text, loaded.blocks, request.chunking, tokenizer))
        cut = [Passage(grain.start, grain.end, grain.heading) for grain in grains]
    else:
        cut = chunk(loaded.text, loaded.blocks, request.chunking, tokenizer)
    passages = tuple(
        CutPassage(
            passage.start,
            passage.end,
            page_of(loaded.page_starts, passage.start),
            passage.heading,
            passage.parent,
            locator.location(passage.start, passage.end),
        )
        for passage in cut
    )
    return msgspec.structs.replace(
        identity,
        status=loaded.status,
        reason=loaded.reason,
        title=loaded.title,
        text=loaded.text,
        headings=tuple(
            Heading(block.level, block.start, block.end) for block in loaded.blocks if block.kind == "heading"
        ),
        page_starts=loaded.page_starts,
        metadata=dict(loaded.metadata),
        passages=passages,
        grains=grains,
    )


@functools.cache
def tokenizer_of_file(path: str) -> Tokenizer:
    from penstock.knowledge.chunking.vocabulary import Vocabulary  # takes memory

    return Vocabulary(Path(path))


def tokenizer_of(options: ChunkOptions) -> Tokenizer | None:
    return tokenizer_of_file(options.vocabulary) if options.vocabulary else None


def read_bytes(path: bytes, max_bytes: int) -> FileBytes:
    """A file whole and of one moment. Raises `OSError`, and `Unloadable` for one that keeps changing."""
    if not modes.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
        raise Unloadable("unsupported", "It is not a regular file.")
    for _ in range(ATTEMPTS):
        # O_NONBLOCK: opening a pipe that took the file's place must not wait for a writer.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0) as file:
            before = os.fstat(file.fileno())
            if before.st_size > max_bytes:
                raise too_large(before.st_size, max_bytes)
            data = file.read(max_bytes + 1)
            while len(data) <= max_bytes and (more := file.read(1 << 20)):
                data += more
            after = os.fstat(file.fileno())
        if len(data) > max_bytes:
            raise too_large(len(data), max_bytes)
        if (
            (before.st_size, before.st_mtime_ns)
            == (after.st_size, after.st_mtime_ns)
            == (
                len(data),
                after.st_mtime_ns,
            )
        ):
            return FileBytes(data, Stat(after.st_size, after.st_mtime_ns, after.st_ino))
    raise Unloadable("unreadable", "It keeps changing while it is read. It will be tried again in the next run.")


def too_large(size: int, max_bytes: int) -> Unloadable:
    return Unloadable(
        "too_large",
        f"It has {size / 1e6:,.0f} MB, more than the {max_bytes / 1e6:,.0f} MB that one file may have. Split it, or"
        " raise max_file_mb.",
    )


def remedy(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return "Give yourself the right to read it."
    return "Check the disk that it is on."


def encodable(loaded: LoadedDocument) -> LoadedDocument:
    """The document without lone surrogates, which no file could hold; every offset stays as it is."""
    try:
        loaded.text.encode()
        loaded.title.encode()
    except UnicodeEncodeError:
        return msgspec.structs.replace(
            loaded,
            text=loaded.text.encode("utf-8", "replace").decode(),
            title=loaded.title.encode("utf-8", "replace").decode(),
        )
    return loaded


def page_of(page_starts: tuple[int, ...], position: int) -> int | None:
    """The 1-based page of a character."""
    return max(1, bisect.bisect_right(page_starts, position)) if page_starts else None


if __name__ == "__main__":
    main()
