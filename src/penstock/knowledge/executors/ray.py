"""Reading and embedding on a Ray cluster: actors that read files, and actors that each have an encoder.

Files are read here and sent, so that the cluster needs no disk in common with this machine. A reader on the cluster
works in a child process of its own, as here: what a hostile file does, it does to that child.

An encoder on the cluster computes what the one here would: it is started with the same precision, and refuses to
work where its fingerprint is another.
"""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from penstock.errors import ConfigError, PenstockError, Unavailable
from penstock.knowledge.chunking import ChunkOptions
from penstock.knowledge.chunking.vocabulary import digest_of
from penstock.knowledge.executors.process import cores
from penstock.knowledge.loaders.child import read_content
from penstock.knowledge.loaders.messages import ReaderSetup, ReadRequest, ReadResult
from penstock.knowledge.loaders.process import FileReader
from penstock.knowledge.values import KnowledgeOptions
from penstock.models.encoders.sentence import EncoderOptions, SentenceEncoder
from penstock.models.pull import pull
from penstock.seams import Embedder, Embeddings

NAMESPACE = "penstock"
CONNECT_SECONDS = 10.0
PART = 64
"""Texts of one call of an encoder: a batch is spread over all of them."""


class RaySettings(Struct, frozen=True, kw_only=True):
    """Which cluster, and how much of it; `None` is one reader for each of its cores and one encoder for each node.

    `address` "" starts one on this machine for the time of a run; "auto" finds the one this machine belongs to;
    else it is `HOST:PORT` or `ray://HOST:PORT`.
    """

    address: str = ""
    readers: int | None = None
    encoders: int | None = None


class ReaderActor:
    """Reads the files that are sent to it, and cuts them by the tokenizer that lies on its own node."""

    def __init__(self, options: KnowledgeOptions) -> None:
        self._reader = FileReader(options)
        self._tokenizers: dict[str, str] = {}

    async def read(self, request: bytes, data: bytes) -> bytes:
        """Raises `ConfigError`, `ModelNotFound` or `PullFailed` where the node cannot have that tokenizer."""
        wanted = msgspec.msgpack.decode(request, type=ReadRequest)
        wanted = msgspec.structs.replace(wanted, chunking=await self._at_home(wanted.chunking))
        with tempfile.NamedTemporaryFile() as file:
            await asyncio.to_thread(file.write, data)
            file.flush()
            result = await self._reader.read(msgspec.structs.replace(wanted, path=os.fsencode(file.name)))
        return msgspec.msgpack.encode(result)

    async def stop(self) -> None:
        await self._reader.stop()

    async def _at_home(self, options: ChunkOptions) -> ChunkOptions:
        if not options.vocabulary:
            return options
        if options.vocabulary not in self._tokenizers:
            self._tokenizers[options.vocabulary] = await asyncio.to_thread(tokenizer_here, options)
        return msgspec.structs.replace(options, vocabulary=self._tokenizers[options.vocabulary])


def tokenizer_here(options: ChunkOptions) -> str:
    """The file of the same tokenizer on this node, fetched with its model if need be."""
    path = Path(options.vocabulary)
    if not path.is_file():
        path = pull(path.parent.name) / path.name
    if not path.is_file() or digest_of(path) != options.vocabulary_digest:
        raise ConfigError(
            f"{path} on {socket.gethostname()} is not the tokenizer that documents are to be cut by.",
            hint="Put the same model files on every node.",
        )
    return str(path)


class EncoderActor:
    """Embeds with an encoder of its own, which must be the one that is meant."""

    def __init__(self, folder: str, options: EncoderOptions, fingerprint: str) -> None:
        place = Path(folder) if Path(folder).is_dir() else pull(Path(folder).name)
        self._encoder = SentenceEncoder(place, options)
        if self._encoder.fingerprint != fingerprint:
            raise ConfigError(
                f"An encoder of the cluster is {self._encoder.fingerprint}; the one here is {fingerprint}.",
                hint="Put the same model files on every node.",
            )

    async def start(self) -> None:
        await self._encoder.start()

    async def embed(self, texts: list[str]) -> tuple[bytes, int]:
        embedded = await self._encoder.embed(texts)
        return np.ascontiguousarray(embedded.vectors, dtype="<f4").tobytes(), embedded.tokens

    async def stop(self) -> None:
        await self._encoder.close()


class RayExecutor:
    """`Executor` on a cluster. An embedder behind an API is asked from here; there is nothing to compute."""

    def __init__(self, embedder: Embedder, options: KnowledgeOptions, settings: RaySettings) -> None:
        self._embedder = embedder
        self._options = options
        self._settings = settings
        self._setup = ReaderSetup(options.parse_memory_bytes, options.max_file_bytes)
        self._starting = asyncio.Lock()
        self._ray: Any = None
        self._readers: list[Any] = []
        self._free: asyncio.Queue[Any] = asyncio.Queue()
        self._encoders: list[Any] = []
        self.workers = settings.readers or cores()

    async def read(self, request: ReadRequest) -> ReadResult:
        content = await asyncio.to_thread(read_content, request.path, self._setup)
        if isinstance(content, ReadResult):
            return content
        identity = content.identity
        await self._start()
        reader = await self._free.get()
        try:
            frame = await self._result(reader.read.remote(msgspec.msgpack.encode(request), content.data))
        finally:
            self._free.put_nowait(reader)
        return msgspec.structs.replace(msgspec.msgpack.decode(frame, type=ReadResult), stat=identity.stat)

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        if not isinstance(self._embedder, SentenceEncoder):
            return await self._embedder.embed(texts)
        await self._start()
        parts = [list(texts[start : start + PART]) for start in range(0, len(texts), PART)]
        results = await asyncio.gather(
            *(
                self._result(self._encoders[number % len(self._encoders)].embed.remote(part))
                for number, part in enumerate(parts)
            )
        )
        vectors = np.frombuffer(b"".join(data for data, _ in results), "<f4")
        return Embeddings(
            vectors.reshape(len(texts), self._embedder.dimensions), sum(tokens for _, tokens in results)
        )

    async def stop(self) -> None:
        if self._ray is None:
            return
        actors = [*self._readers, *self._encoders]
        await asyncio.gather(*(actor.stop.remote() for actor in actors), return_exceptions=True)
        for actor in actors:
            self._ray.kill(actor)
        await asyncio.to_thread(self._ray.shutdown)
        self._ray = None

    async def _start(self) -> None:
        async with self._starting:
            if self._ray is not None:
                return
            ray = await asyncio.to_thread(connect, self._settings.address)
            self._ray = ray
            spread = {"num_cpus": 0, "scheduling_strategy": "SPREAD"}
            reader = ray.remote(**spread)(ReaderActor)
            self._readers = [reader.remote(self._options) for _ in range(self.workers)]
            for each in self._readers:
                self._free.put_nowait(each)
            if isinstance(self._embedder, SentenceEncoder):
                files = self._embedder.files
                encoder = ray.remote(**spread)(EncoderActor)
                self._encoders = [
                    encoder.remote(str(files.folder), files.options, self._embedder.fingerprint)
                    for _ in range(self._settings.encoders or len(ray.nodes()))
                ]
                await asyncio.gather(*(self._result(each.start.remote()) for each in self._encoders))

    async def _result(self, reference: Any) -> Any:
        """What an actor returns. Raises what it raised, `Unavailable` where it is lost."""
        try:
            return await reference
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, PenstockError):
                raise error.cause from error
            raise
        except self._ray.exceptions.RayError as error:
            raise Unavailable(
                f"A worker of the Ray cluster was lost: {str(error).splitlines()[0]}",
                hint="Look at the cluster; then ingest again: what was written stays.",
            ) from error


def library() -> Any:
    """Ray itself, loaded before what it cannot be loaded after. Raises `ConfigError` where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            'executor = "ray" needs Ray, which is not installed.', hint="Run: pip install 'penstock[ray]'"
        ) from error
    return ray


def connect(address: str) -> Any:
    """The library, connected. Raises `ConfigError` where it is not installed, `Unavailable` where no cluster is."""
    ray = library()
    own: dict[str, Any] = {"include_dashboard": False} if not address else {"address": address}
    try:
        knock(address)
        ray.init(namespace=NAMESPACE, log_to_driver=False, configure_logging=False, **own)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise Unavailable(
            f"There is no Ray cluster at {address or 'this machine'}: {str(error).splitlines()[0]}",
            hint="Start it with 'ray start --head', or correct the address under ray.",
        ) from error
    return ray


def knock(address: str) -> None:
    """Raises `OSError` where nobody listens: the library would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
