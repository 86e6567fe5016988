"""Objects of a bucket, at Amazon S3 or whoever speaks its protocol.

Two calls are all it takes, ListObjectsV2 and GetObject, signed as models on Bedrock are. A listing is whole or it
raises: one that breaks off at its third page would make the rest of the bucket look deleted.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urlsplit

import aiohttp
from msgspec import Struct
from yarl import URL

from penstock.errors import BodyTooLarge, NotFound, Unavailable, UpstreamFailed
from penstock.knowledge.loaders.kinds import kind_of
from penstock.knowledge.sources.base import Item, Listing, SourceRules, linked, unsupported
from penstock.knowledge.sources.download import TooLarge, save
from penstock.knowledge.sources.patterns import Choice
from penstock.knowledge.sources.s3_answers import ObjectEntry, ObjectPage, error_code, object_page
from penstock.knowledge.sources.xml import BadXml
from penstock.knowledge.values import FileProblem
from penstock.models.providers.signing import Credentials, Scope, Signature

EMPTY = hashlib.sha256(b"").hexdigest()
FROZEN = frozenset(("GLACIER", "DEEP_ARCHIVE"))
"""Storage classes whose objects cannot be read before somebody restores them."""
MOST_PAGES = 10_000
ERROR_BYTES = 64 << 10
SECONDS = 120.0


class Bucket(Struct, frozen=True, kw_only=True):
    """Where objects are. `endpoint` is "" for Amazon's, `credentials` `None` for a bucket that anybody may read."""

    name: str
    prefix: str = ""
    endpoint: str = ""
    region: str = "us-east-1"
    credentials: Credentials | None = None

    @property
    def address(self) -> str:
        """What keys are appended to, without a slash at the end."""
        if self.endpoint:
            return f"{self.endpoint.rstrip('/')}/{self.name}"
        if "." in self.name:  # certificates of Amazon are not for names with dots
            return f"https://s3.{self.region}.amazonaws.com/{self.name}"
        return f"https://{self.name}.s3.{self.region}.amazonaws.com"


class S3Options(Struct, frozen=True, kw_only=True):
    """Which objects are taken, where people open one (an address with `{key}`), and its most bytes."""

    include: tuple[str, ...] = ("**/*",)
    exclude: tuple[str, ...] = ()
    link: str = ""
    max_bytes: int = 50_000_000


class S3Source:
    """Objects by their keys; versions are their entity tags."""

    def __init__(self, name: str, bucket: Bucket, options: S3Options, rules: SourceRules) -> None:
        self.name = f"s3.{name}"
        self._bucket = bucket
        self._options = options
        self._rules = rules
        self._choice = Choice(options.include, options.exclude)
        self._session: aiohttp.ClientSession | None = None
        self._signature = (
            Signature(bucket.credentials, Scope(bucket.region, "s3"), bucket.address)
            if bucket.credentials
            else None
        )

    @property
    def max_delete(self) -> float:
        return self._rules.max_delete

    async def list(self, cursor: bytes) -> Listing:
        """Every object below the prefix. Raises `UpstreamFailed` where not all of it can be listed."""
        items: list[Item] = []
        problems: list[FileProblem] = []
        token = ""
        for _ in range(MOST_PAGES):
            page = await self._page(token)
            for entry in page.objects:
                found = self._item(entry)
                if isinstance(found, Item):
                    items.append(found)
                elif found is not None:
                    problems.append(found)
            if not page.token:
                return Listing(items=tuple(items), problems=tuple(problems))
            if page.token == token:
                raise self._failed("it goes on with the page that was there before")
            token = page.token
        raise self._failed(f"there are more than {MOST_PAGES * 1000:,} objects", "Name a prefix.")

    async def fetch(self, item: Item, folder: Path) -> Path:
        path = "/" + quote(item.location.decode(), safe="/~")
        try:
            async with self._get(path) as response:
                await self._check(response, item.key)
                target = await asyncio.to_thread(new_file, folder)
                await save(response.content.iter_chunked(1 << 16), target, self._options.max_bytes)
        except TooLarge:
            limit = f"{self._options.max_bytes / 1e6:,.0f} MB"
            raise BodyTooLarge(
                f"{item.key} has more than {limit}.", hint="Split it, or raise max_file_mb."
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unavailable(f"{item.key} cannot be fetched from {self.name}: {words(error)}.") from None
        return target

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _page(self, token: str) -> ObjectPage:
        names = {
            "list-type": "2",
            "encoding-type": "url",
            "prefix": self._bucket.prefix,
            "continuation-token": token,
        }
        query = "&".join(f"{name}={quote(value, safe='~')}" for name, value in sorted(names.items()) if value)
        try:
            async with self._get(f"/?{query}") as response:
                await self._check(response, "")
                data = await response.content.read()
            return object_page(data)
        except (aiohttp.ClientError, OSError) as error:
            raise self._failed(words(error)) from None
        except BadXml as error:
            raise self._failed(f"the answer is no listing: {error}") from None

    def _item(self, entry: ObjectEntry) -> Item | FileProblem | None:
        """What an object is to a run; `None` for what is not meant to be a document."""
        key = entry.key
        name = PurePosixPath(key).name
        if key.endswith("/") or name.startswith((".", "~$")) or not self._choice.takes(key):
            return None
        if entry.storage_class in FROZEN:
            return FileProblem(key, "unreadable", f"It is archived ({entry.storage_class}). Restore it first.")
        kind = kind_of(name)
        if kind is None:
            return unsupported(key)
        return Item(
            key=key,
            version=entry.etag or f"{entry.modified}:{entry.size}",
            kind=kind,
            location=key.encode(),
            metadata=self._rules.metadata,
            readers=self._rules.readers,
            url=linked(self._options.link, key),
            modified_us=entry.modified_us,
            size=entry.size,
        )

    def _get(self, path: str) -> aiohttp.client._RequestContextManager:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=SECONDS, sock_connect=10.0),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        url = self._bucket.address + path
        headers = [("X-Amz-Content-Sha256", EMPTY)]
        if self._signature is not None:
            parts = urlsplit(url)
            sent = parts.path + (f"?{parts.query}" if parts.query else "")
            headers = self._signature.signed("GET", sent, tuple(headers), b"")
        return self._session.get(URL(url, encoded=True), headers=headers, allow_redirects=False)

    async def _check(self, response: aiohttp.ClientResponse, key: str) -> None:
        """Raises what an answer that is not 200 means; `key` is "" for a listing."""
        if response.status == 200:
            return
        code = error_code(await response.content.read(ERROR_BYTES))
        reason = f"the server answered {response.status}" + (f" {code}" if code else "")
        if key and response.status == 404:
            raise NotFound(f"{key} is no longer in the bucket {self._bucket.name!r}.")
        if key:
            raise Unavailable(f"{key} cannot be fetched from {self.name}: {reason}.")
        raise self._failed(reason, HINTS.get(code, ""))

    def _failed(self, reason: str, hint: str = "") -> UpstreamFailed:
        return UpstreamFailed(
            f"The bucket {self._bucket.name!r} of {self.name} cannot be listed: {reason}.",
            hint=f"{hint} What was taken in before is kept.".strip(),
        )


HINTS = {
    "NoSuchBucket": "Check bucket, endpoint and region.",
    "AccessDenied": "The key needs s3:ListBucket on it, and s3:GetObject on its objects.",
    "InvalidAccessKeyId": "Check access_key.",
    "SignatureDoesNotMatch": "Check secret_key.",
    "PermanentRedirect": "Check region.",
    "AuthorizationHeaderMalformed": "Check region.",
}


def new_file(folder: Path) -> Path:
    handle, name = tempfile.mkstemp(dir=folder, prefix="object-")
    os.close(handle)
    return Path(name)


def words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "nothing came in time"
    return str(error) or type(error).__name__
