"""Documents that may have changed are fetched and hashed; only those whose content nobody has seen are read."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from penstock.errors import BodyTooLarge, NotFound, PenstockError, StorageFull
from penstock.knowledge.executors.base import Executor
from penstock.knowledge.ingestion.meaning import by_meaning
from penstock.knowledge.ingestion.outcome import Line, Outcome, Read, Shared, Unchanged
from penstock.knowledge.ingestion.plan import NOT_OF_CONTENT, Recipes, Work, listed
from penstock.knowledge.ingestion.tally import Tally
from penstock.knowledge.loaders.messages import ReadRequest, ReadResult
from penstock.knowledge.stores.sqlite import SqliteStore
from penstock.knowledge.stores.writes import Known, Pending
from penstock.knowledge.values import KnowledgeOptions

TOGETHER = 64
"""Documents that are fetched, hashed and looked up together."""

FETCHES = 8


class Fetched(Struct, frozen=True):
    """A document as a file, or what kept it from being one."""

    work: Work
    path: Path | None
    failure: ReadResult | None = None


class Content(Struct, frozen=True):
    """A fetched document with the digest of its bytes, "" where it is not known."""

    fetched: Fetched
    digest: str


class Reading:
    """Fills a line with the outcomes of a plan. `scratch` is an empty folder for what is fetched from elsewhere."""

    def __init__(
        self, store: SqliteStore, executor: Executor, recipes: Recipes, options: KnowledgeOptions, scratch: Path
    ) -> None:
        self._store = store
        self._executor = executor
        self._recipes = recipes
        self._options = options
        self._scratch = scratch
        self._fetches = asyncio.Semaphore(FETCHES)
        self._reads = asyncio.Semaphore(executor.workers + 1)

    async def run(self, pending: Pending, work: Sequence[Work], line: Line, tally: Tally) -> None:
        hashes = pending.number > 1 or any(each.known is not None for each in work)
        for start in range(0, len(work), TOGETHER):
            group = work[start : start + TOGETHER]
            fetched = await asyncio.gather(*(self._fetch(each) for each in group))
            contents = await asyncio.to_thread(digests_of, fetched, self._options.max_file_bytes, hashes)
            known = await asyncio.to_thread(self._known, pending, contents) if hashes else {}
            for content in contents:
                await line.room()
                await self._decide(content, known, line, tally)
        await line.end()

    async def _decide(
        self, content: Content, known: dict[tuple[str, str], Known], line: Line, tally: Tally
    ) -> None:
        """Puts what is known in the line at once, and a reading where nothing is."""
        work = content.fetched.work
        shared = known.get((content.digest, self._recipes.of(work.item.kind)))
        if self._is_own(content):
            await line.put(now(Unchanged(work)))
        elif shared is not None:
            await line.put(now(Shared(work, shared)))
        else:
            tally.report(work.item.key)
            await self._reads.acquire()
            await line.put(self._read(content.fetched))
            return
        self._forget(content.fetched)

    def _is_own(self, content: Content) -> bool:
        """Whether a document is in everything what is known of it."""
        work = content.fetched.work
        known, expected = work.known, (content.digest, self._recipes.of(work.item.kind), listed(work.item))
        return (
            known is not None
            and content.digest != ""
            and (known.digest, known.recipe, known.listed) == expected
            and known.status not in NOT_OF_CONTENT
        )

    async def _read(self, fetched: Fetched) -> Outcome:
        try:
            if fetched.path is None and fetched.failure is None:
                fetched = await self._fetch(fetched.work, needed=True)
            if fetched.path is None:
                return Read(fetched.work, fetched.failure or ReadResult(status="vanished"))
            request = ReadRequest(
                path=os.fsencode(fetched.path),
                kind=fetched.work.item.kind,
                chunking=self._options.chunking,
                languages=self._options.ocr_languages,
            )
            result = await self._executor.read(request)
            return Read(fetched.work, await by_meaning(result, request.chunking, self._executor.embed))
        finally:
            self._reads.release()
            self._forget(fetched)

    async def _fetch(self, work: Work, *, needed: bool = False) -> Fetched:
        """The document as a file, unless it is known that its content is what it was. Raises `StorageFull`."""
        if work.same and work.known is not None and work.known.digest and not needed:
            return Fetched(work, None)
        async with self._fetches:
            try:
                return Fetched(work, await work.source.fetch(work.item, self._scratch))
            except NotFound:
                failure = ReadResult(status="vanished", reason="It went away while it was being read.")
            except BodyTooLarge as error:
                failure = ReadResult(status="too_large", reason=str(error))
            except PenstockError as error:
                failure = ReadResult(status="unreadable", reason=str(error))
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise StorageFull(
                        f"The disk is full: {self._scratch} has no room for what is fetched.",
                        hint="Free some space, or name a folder on another disk in TMPDIR.",
                    ) from error
                failure = ReadResult(status="unreadable", reason=f"{error.strerror or error}.")
        return Fetched(work, None, failure)

    def _known(self, pending: Pending, contents: Iterable[Content]) -> dict[tuple[str, str], Known]:
        """Documents to share content with, by digest and recipe."""
        digests = sorted({content.digest for content in contents if not self._is_own(content)} - {""})
        found = self._store.known(pending, digests) if digests else []
        return {
            (known.header.digest, known.header.recipe): known
            for known in found
            if known.header.status not in NOT_OF_CONTENT
        }

    def _forget(self, fetched: Fetched) -> None:
        if fetched.path is not None and fetched.path.parent == self._scratch:
            fetched.path.unlink(missing_ok=True)


async def now(outcome: Outcome) -> Outcome:
    return outcome


def digests_of(fetched: Iterable[Fetched], largest: int, hashes: bool) -> list[Content]:
    """The SHA-256 of each file in hexadecimal, as far as it is worth knowing."""
    return [Content(each, digest_of(each, largest) if hashes else "") for each in fetched]


def digest_of(fetched: Fetched, largest: int) -> str:
    if fetched.path is None:
        known = fetched.work.known
        return known.digest if known is not None and fetched.work.same else ""
    try:
        # O_NONBLOCK: opening a pipe that took the file's place must not wait for a writer.
        handle = os.open(fetched.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb", buffering=0) as file:
            size = os.fstat(handle).st_size
            return "" if size > largest else hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""  # the reader finds out why
