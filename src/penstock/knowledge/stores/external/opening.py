"""From an address to the vector database there."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from penstock.errors import ConfigError, PenstockError, Unavailable
from penstock.knowledge.stores.external.base import ExternalStore
from penstock.knowledge.stores.external.deferred import DeferredBackend

if TYPE_CHECKING:
    from penstock.knowledge.stores.external.base import Backend

KINDS = {
    "qdrant": "qdrant://HOST:6333",
    "qdrants": "qdrants://HOST:6333 (TLS)",
    "chroma": "chroma://HOST:8000",
    "chromas": "chromas://HOST:8000 (TLS)",
    "pinecone": "pinecone://HOST-OF-THE-INDEX",
    "postgresql": "postgresql://USER@HOST:5432/NAME",
}

PORTS = {"qdrant": 6333, "chroma": 8000, "pinecone": 443, "postgresql": 5432}
PLAIN, SECURE = ("qdrant", "chroma"), ("qdrants", "chromas")


class Collection(Struct, frozen=True, kw_only=True):
    """Whose vectors: one collection for each knowledge base and encoder, so that two never mix."""

    project_id: str
    knowledge: str
    fingerprint: str
    dimensions: int

    @property
    def name(self) -> str:
        """Letters, digits and underscores, at most 60: every database takes it."""
        plain = re.sub(r"[^a-z0-9]+", "_", self.knowledge.lower()).strip("_")[:30]
        whole = "\x00".join((self.project_id, self.knowledge, self.fingerprint))
        return f"penstock_{plain}_{hashlib.blake2b(whole.encode(), digest_size=6).hexdigest()}"


async def open_external(url: str, key: str, collection: Collection) -> ExternalStore:
    """Opens or makes the collection at an address; `key` is "" where the database asks for none.

    Raises `ConfigError` for an address that is not understood or a client that is not installed, `Unavailable`
    where nobody answers.
    """
    return ExternalStore(await _opened(url, key, collection))


def open_later(url: str, key: str, collection: Collection, trouble: Unavailable) -> ExternalStore:
    """The same, opened when it is first used: for a database that is away, as its `trouble` says."""
    return ExternalStore(DeferredBackend(partial(_opened, url, key, collection)), trouble)


async def _opened(url: str, key: str, collection: Collection) -> Backend:
    address = checked(url)
    try:
        return await _backend(address, key, collection)
    except ImportError as error:
        extra = "postgres" if address.scheme == "postgresql" else address.scheme.removesuffix("s")
        raise ConfigError(
            f"{address.scheme}:// needs a client that is not installed.",
            hint=f"Run: pip install 'penstock[{extra}]'",
        ) from error


def checked(url: str) -> SplitResult:
    """The parts of an address. Raises `ConfigError`, which never shows a password."""
    try:
        address = urlsplit(url)
        named = bool(address.hostname) or address.scheme == "postgresql"  # which may be reached by a socket
        valid = address.scheme in KINDS and named and (address.port or 1) > 0
    except ValueError:
        valid = False
    if not valid:
        raise ConfigError(
            "The address of the vector store is not understood.", hint=f"It looks like {', '.join(KINDS.values())}."
        )
    return address


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def port_of(address: SplitResult) -> int:
    """The port of an address, or the one that its database has by custom."""
    return address.port or PORTS[address.scheme.removesuffix("s")]


def place_of(address: SplitResult) -> str:
    """An address to show: without user, password and parameters."""
    host = address.hostname or "localhost"
    return f"{host}:{address.port}" if address.port else host


async def _backend(address: SplitResult, key: str, collection: Collection) -> Backend:
    host, place, secure = str(address.hostname), place_of(address), address.scheme in SECURE
    if key and address.scheme in PLAIN and not is_loopback(host):
        raise ConfigError(
            f"The key of the vector store would be sent to {place} unencrypted.",
            hint=f"Write {address.scheme}s:// in its url.",
        )
    match address.scheme:
        case "qdrant" | "qdrants":
            from qdrant_client import AsyncQdrantClient

            from penstock.knowledge.stores.external.qdrant import QdrantCollection

            client = AsyncQdrantClient(
                host=host,
                port=port_of(address),
                https=secure,
                api_key=key or None,
                check_compatibility=False,
            )
            points = QdrantCollection(client, collection.name, place)
            await points.open(collection.dimensions)
            return points
        case "chroma" | "chromas":
            from penstock.knowledge.stores.external.chroma import ChromaCollection, connect

            chroma = await connect((host, port_of(address)), key, secure=secure, place=place)
            records = ChromaCollection(chroma, collection.name, place)
            await records.open(collection.dimensions)
            return records
        case "pinecone":
            from pinecone import AsyncIndex

            from penstock.knowledge.stores.external.pinecone import PineconeNamespace

            if not key:
                raise ConfigError(
                    "Pinecone needs a key.", hint='Add key = { env = "PINECONE_API_KEY" } beside its url.'
                )
            scheme = "http" if is_loopback(host) else "https"
            index = AsyncIndex(host=f"{scheme}://{address.netloc}", api_key=key)
            return PineconeNamespace(index, collection.name, place)
        case _:
            return await _table(address, key, collection)


async def _table(address: SplitResult, password: str, collection: Collection) -> Backend:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError

    from penstock.knowledge.stores.external.pgvector import PgVectorTable
    from penstock.storage.postgres import address_of, explained

    url = address_of(address.geturl())
    engine = create_engine(url.set(password=password) if password else url, pool_pre_ping=True)

    def explain(error: DBAPIError) -> PenstockError:
        return explained(error, place_of(address), "the url under store")

    table = PgVectorTable(engine, collection.name, collection.project_id, explain)
    await table.open(collection.dimensions)
    return table
