"""Web pages: those that are named, those of sitemaps, and those that they lead to.

A page's version is the hash of its content; what has not changed since the last run is asked for with the
validators that the server gave (ETag, Last-Modified) and not sent again. Only 404 and 410 say that a page is gone.
A page that cannot be had now stays as it is, with all that might only be found through it.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct
from yarl import URL

from penstock.errors import BodyTooLarge, NotFound, Unavailable, UpstreamFailed
from penstock.knowledge.sources.base import Item, Listing, SourceRules
from penstock.knowledge.sources.crawl import Crawl, Crawled, CrawlPlan, Remembered, WebCursor
from penstock.knowledge.sources.pages import modified_us, to_utf8
from penstock.knowledge.sources.reach import Reach, normal
from penstock.knowledge.sources.robots import Robots
from penstock.knowledge.sources.sitemaps import SitePages, read_sitemaps
from penstock.knowledge.sources.visits import Visitor, WebLimits
from penstock.knowledge.values import FileProblem

MOST_COPIES = 5
"""So many pages may call another one the original; of more it is taken for a mistake of the site."""


class WebOptions(Struct, frozen=True, kw_only=True):
    """Where pages are and which are taken; as `[knowledge.NAME.web.NAME]`."""

    urls: tuple[str, ...] = ()
    sitemaps: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    include: tuple[str, ...] = ("**/*",)
    exclude: tuple[str, ...] = ()
    depth: int = 0
    max_pages: int = 1000
    respect_robots: bool = True
    allow_private: bool = False
    limits: WebLimits = WebLimits()


class WebSource:
    """Pages by their addresses; keys are the addresses that pages call their own."""

    def __init__(self, name: str, options: WebOptions, rules: SourceRules, workspace: Path) -> None:
        """Pages lie in a folder of their own in `workspace` between `list` and `fetch`."""
        self.name = f"web.{name}"
        self._workspace = workspace
        self._options = options
        self._rules = rules
        self._folder: Path | None = None
        self._visitor: Visitor | None = None
        self._robots: Robots | None = None
        self._files: dict[str, Path] = {}

    @property
    def max_delete(self) -> float:
        return self._rules.max_delete

    async def list(self, cursor: bytes) -> Listing:
        """Visits every page. Raises `UpstreamFailed` where a configured sitemap, or every page, cannot be had."""
        await self.close()
        options, visitor = self._options, self._opened()
        robots = self._robots
        sitemaps = [url for url in map(normal, options.sitemaps) if url is not None]
        site = await read_sitemaps(sitemaps, visitor, robots) if sitemaps else SitePages((), ())
        before = remembered(cursor, options)
        plan = CrawlPlan(options.include, options.exclude, options.depth, options.max_pages)
        crawl = Crawl(plan, self._reach(), visitor, robots, before)
        starts = [url for url in map(normal, options.urls) if url is not None]
        await crawl.run(starts, site.urls)
        return await asyncio.to_thread(self._listing, crawl, site)

    async def fetch(self, item: Item, folder: Path) -> Path:
        url = URL(item.location.decode(), encoded=True)
        file = self._files.pop(item.key, None)
        if file is None:
            visitor = self._opened()
            visit = await visitor.visit(url, check=self._robots.check if self._robots else None)
            if visit.file is None:
                if visit.outcome == "gone":
                    raise NotFound(f"{url}: {visit.reason}")
                kind = BodyTooLarge if visit.status == "too_large" else Unavailable
                raise kind(f"{url}: {visit.reason}")
            file = visit.file
            await asyncio.to_thread(to_utf8, file, visit.content_type)
        return Path(await asyncio.to_thread(shutil.move, file, folder / f"{self.name}-{file.name}"))

    async def close(self) -> None:
        if self._visitor is not None:
            await self._visitor.close()
        if self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        self._visitor = self._folder = self._robots = None
        self._files = {}

    def _opened(self) -> Visitor:
        if self._visitor is None:
            self._workspace.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(dir=self._workspace, prefix=f"{self.name}-"))
            limits = self._options.limits
            self._visitor = Visitor(self._reach(), limits, self._folder)
            self._robots = Robots(self._visitor, limits.user_agent) if self._options.respect_robots else None
        return self._visitor

    def _reach(self) -> Reach:
        options = self._options
        return Reach((*options.urls, *options.sitemaps), options.hosts, allow_private=options.allow_private)

    def _listing(self, crawl: Crawl, site: SitePages) -> Listing:
        pages = chosen(crawl.pages)
        if not pages and (reasons := [reason for _, reason in (*site.failures, *crawl.unknown.items())]):
            raise UpstreamFailed(
                f"{self.name}: none of its pages can be had. The first: {reasons[0]}",
                hint="What was taken in before is kept.",
            )
        items = []
        for key, page in sorted(pages.items()):
            if page.file is not None:
                to_utf8(page.file, page.content_type)
                self._files[key] = page.file
            items.append(self._item(key, page.entry))
        problems = [FileProblem(url, status, reason) for url, (status, reason) in crawl.left.items()]
        problems += [FileProblem(url, "unreadable", kept(reason)) for url, reason in crawl.unknown.items()]
        problems += [FileProblem(url, "unreadable", kept(reason)) for url, reason in site.failures]
        unlisted = crawl.unlisted() if not site.failures else ("",)
        return Listing(
            items=tuple(items),
            problems=tuple(problems),
            unlisted=unlisted,
            deleted=tuple(sorted(crawl.gone)),
            cursor=msgspec.msgpack.encode(crawl.remember(fingerprint(self._options))),
        )

    def _item(self, key: str, entry: Remembered) -> Item:
        return Item(
            key=key,
            version=entry.digest,
            kind=entry.kind,
            location=entry.final.encode(),
            metadata=self._rules.metadata,
            readers=self._rules.readers,
            url=key,
            modified_us=modified_us(entry.validators.modified),
            size=entry.size,
        )


def chosen(pages: Sequence[Crawled]) -> dict[str, Crawled]:
    """One page for each address that pages call their own: the one that is there, if it was visited."""
    claims: dict[str, set[str]] = {}
    for page in pages:
        if page.entry.canonical:
            claims.setdefault(page.entry.canonical, set()).add(page.entry.digest)
    found: dict[str, Crawled] = {}
    for page in pages:
        canonical, final = page.entry.canonical, page.entry.final
        key = canonical if canonical and len(claims[canonical]) <= MOST_COPIES else final
        if key not in found or final == key:
            found[key] = page
    return found


def kept(reason: str) -> str:
    return f"{reason} What was taken in before is kept."


def fingerprint(options: WebOptions) -> str:
    """Changes with everything that decides what a page leads to."""
    limits = (options.limits.user_agent, options.limits.max_bytes)
    return repr((options.urls, options.sitemaps, options.hosts, options.respect_robots, options.depth > 0, limits))


def remembered(cursor: bytes, options: WebOptions) -> WebCursor:
    """What the last run knew, where it is of use for this one."""
    try:
        found = msgspec.msgpack.decode(cursor, type=WebCursor) if cursor else WebCursor()
    except msgspec.DecodeError:
        return WebCursor()
    return found if found.fingerprint == fingerprint(options) else WebCursor()
