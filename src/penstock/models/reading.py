"""From the settings of an embedder or a reranker to one that runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TypeVar

from penstock.config.embedders import EmbedderSettings, ReaderSettings
from penstock.config.rerankers import RerankerSettings
from penstock.errors import ConfigError
from penstock.exchange import Operation
from penstock.models.catalog import lookup
from penstock.models.encoders.files import ModelFiles
from penstock.models.encoders.remote import RemoteEmbedder, RemoteOptions
from penstock.models.encoders.sentence import EncoderOptions, SentenceEncoder
from penstock.models.encoders.supervised import ModelOptions
from penstock.models.local import OnPull
from penstock.models.providers.vendors import RemoteSettings, remote_of
from penstock.models.pull import pull
from penstock.models.rerankers.cross import CrossEncoder
from penstock.models.rerankers.remote import RemoteReranker
from penstock.models.sources.address import is_address

Started = TypeVar("Started", SentenceEncoder, CrossEncoder, RemoteEmbedder)

NOUNS = {"embed": "embeddings", "rerank": "rankings"}


async def open_embedder(
    name: str, settings: EmbedderSettings, root: Path, on_pull: OnPull
) -> SentenceEncoder | RemoteEmbedder:
    """A running embedder; `root` is the app folder.

    Raises `ConfigError`, what `pull` raises, `Unavailable` where it does not start, `UpstreamFailed` or
    `DeadlineExceeded` where it does not answer.
    """
    if settings.remote:
        return await started(remote_embedder(name, settings))
    options = EncoderOptions(
        name=name,
        file=settings.file,
        pooling=settings.pooling,
        max_tokens=settings.max_tokens,
        query_prefix=settings.query_prefix,
        passage_prefix=settings.passage_prefix,
        precision=settings.precision,
    )
    folder = await asyncio.to_thread(folder_of, settings, root, on_pull)
    return await started(await asyncio.to_thread(SentenceEncoder, folder, options))


async def open_reranker(
    name: str, settings: RerankerSettings, root: Path, on_pull: OnPull
) -> CrossEncoder | RemoteReranker:
    """A running reranker. Raises as `open_embedder` does."""
    if settings.remote:
        return RemoteReranker(endpoint(settings, "rerank"), name, settings.request_seconds)
    options = ModelOptions(
        name=name, file=settings.file, max_tokens=settings.max_tokens, precision=settings.precision
    )
    folder = await asyncio.to_thread(folder_of, settings, root, on_pull)
    return await started(await asyncio.to_thread(CrossEncoder, folder, options))


async def started(model: Started) -> Started:
    try:
        await model.start()
    except BaseException:
        await model.close()
        raise
    return model


def remote_embedder(name: str, settings: EmbedderSettings) -> RemoteEmbedder:
    return RemoteEmbedder(
        endpoint(settings, "embed"),
        RemoteOptions(
            name=name,
            dimensions=settings.dimensions,
            query_prefix=settings.query_prefix or "",
            passage_prefix=settings.passage_prefix or "",
            batch_texts=settings.batch_texts,
            batch_tokens=settings.batch_tokens,
            in_flight=settings.max_in_flight,
            request_seconds=settings.request_seconds,
        ),
    )


def endpoint(settings: EmbedderSettings | RerankerSettings, operation: Operation) -> RemoteSettings:
    """Where a remote model is. Raises `ConfigError`, also for a model that is known not to do this."""
    found = remote_of(settings)
    if operation not in found.profile.operations:
        raise ConfigError(
            f"{settings.use!r} makes no {NOUNS[operation]}.",
            hint=f"Name a model of {found.vendor.title} that does, or another provider.",
        )
    return found


def folder_of(settings: ReaderSettings, root: Path, on_pull: OnPull) -> Path:
    """The folder with the model's files, fetched if it must be. Raises `ConfigError` or what `pull` raises."""
    if settings.path:
        return root / settings.path
    check_kind(settings.use)
    return pull(settings.use, on_pull)


def check_kind(use: str) -> None:
    """Raises `ModelNotFound`, or `ConfigError` for a model that writes instead of reading."""
    if not is_address(use) and (kind := lookup(use).kind) != "embedding":
        raise ConfigError(f"{use!r} is a {kind} model and makes no vectors.", hint="Use all-minilm-l6-v2.")


def check_embedder(settings: EmbedderSettings, root: Path) -> None:
    """Raises `ConfigError` or `ModelNotFound` for what can be known to be wrong without starting anything."""
    check_reader(settings, root, "embed")


def check_reranker(settings: RerankerSettings, root: Path) -> None:
    """As `check_embedder`."""
    check_reader(settings, root, "rerank")


def check_reader(settings: EmbedderSettings | RerankerSettings, root: Path, operation: Operation) -> None:
    if settings.remote:
        endpoint(settings, operation)
    elif settings.path:
        ModelFiles.read(root / settings.path, settings.file)
    elif operation == "embed":
        check_kind(settings.use)
