"""One walk over the pages of a site, level by level."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct
from yarl import URL

from penstock.knowledge.loaders.kinds import READABLE, Kind
from penstock.knowledge.sources.pages import Marks, kind_of_page, read_marks
from penstock.knowledge.sources.patterns import Choice
from penstock.knowledge.sources.reach import Reach
from penstock.knowledge.sources.robots import Robots
from penstock.knowledge.sources.visits import NONE, Validators, Visit, Visitor
from penstock.knowledge.values import Status

AT_ONCE = 4
EVERYTHING = ("",)


class CrawlPlan(Struct, frozen=True):
    """Which paths are taken, how many links away from the start, and how many pages at most."""

    include: tuple[str, ...]
    exclude: tuple[str, ...]
    depth: int
    max_pages: int


class Remembered(Struct, frozen=True, kw_only=True):
    """A page as it was at its last visit. `final` is where redirects ended, `canonical` the address that it calls
    its own ("" for none); `links` are numbers of addresses in `WebCursor.urls`. `index` is false for a page that
    robots are to leave out, which may still lead to others."""

    final: str
    kind: Kind
    digest: str
    size: int
    validators: Validators
    canonical: str = ""
    index: bool = True
    links: tuple[int, ...] = ()


class WebCursor(Struct, frozen=True):
    """All pages of a run, by the address that was asked for."""

    fingerprint: str = ""
    urls: tuple[str, ...] = ()
    pages: dict[str, Remembered] = {}


class Crawled(Struct, frozen=True):
    """A page to take in; `file` has its content where it was sent this time."""

    entry: Remembered
    file: Path | None
    content_type: str


class Crawl:
    """A walk; make a new one for each. After `run`: `pages` to take in, addresses that are `gone`, `left` out or
    `unknown` with reasons."""

    def __init__(
        self, plan: CrawlPlan, reach: Reach, visitor: Visitor, robots: Robots | None, before: WebCursor
    ) -> None:
        self.pages: list[Crawled] = []
        self.gone: set[str] = set()
        self.left: dict[str, tuple[Status, str]] = {}
        self.unknown: dict[str, str] = {}
        self._plan = plan
        self._choice = Choice(plan.include, plan.exclude)
        self._reach = reach
        self._visitor = visitor
        self._robots = robots
        self._before = before
        self._now: dict[str, Remembered] = {}
        self._links: dict[str, int] = {}
        self._seen: set[URL] = set()
        self._incomplete = False

    async def run(self, starts: Sequence[URL], listed: Iterable[URL]) -> None:
        """`starts` are asked for whatever their paths; `listed` come from sitemaps."""
        level = [*dict.fromkeys(starts), *(url for url in listed if self._wanted(url))]
        asked = 0
        for depth in range(self._plan.depth + 1):
            level = [url for url in dict.fromkeys(level) if url not in self._seen]
            room = self._plan.max_pages - asked
            if len(level) > room:
                self._incomplete = True
                reason = (
                    f"There are more pages than max_pages = {self._plan.max_pages:,}; {len(level) - room:,} known"
                )
                self.left[str(level[room])] = ("too_large", f"{reason} ones were left out, this one first.")
                level = level[:room]
            self._seen.update(level)
            asked += len(level)
            leads_on = depth < self._plan.depth
            found = await self._visit_all(level, leads_on=leads_on)
            level = [link for links in found for link in links if self._wanted(link)] if leads_on else []
            if not level:
                return

    def unlisted(self) -> tuple[str, ...]:
        """What nothing is known of: pages that could not be had, under every address that they have had."""
        if self._incomplete:
            return EVERYTHING
        found: set[str] = set()
        for url in self.unknown:
            entry = self._before.pages.get(url)
            if entry is None:
                return EVERYTHING  # it may be a document under an address that only it can tell
            found |= {url, entry.final, entry.canonical} - {""}
        return tuple(sorted(found))

    def remember(self, fingerprint: str) -> WebCursor:
        """For the next run. Pages that could not be had are remembered as they were."""
        urls = tuple(self._links)
        for url in self.unknown:
            if url in self._before.pages:
                self._now[url] = msgspec.structs.replace(self._before.pages[url], validators=NONE, links=())
        return WebCursor(fingerprint, urls, self._now)

    def _wanted(self, url: URL) -> bool:
        return self._reach.allows(url) and self._choice.takes(url.path.lstrip("/"))

    async def _visit_all(self, urls: Sequence[URL], *, leads_on: bool) -> list[Sequence[URL]]:
        """Where each of these pages leads."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(url: URL) -> Sequence[URL]:
            async with turns:
                return await self._visit(url, leads_on=leads_on)

        async with asyncio.TaskGroup() as tasks:
            found = [tasks.create_task(one(url)) for url in urls]
        return [task.result() for task in found]

    async def _visit(self, url: URL, *, leads_on: bool) -> Sequence[URL]:
        key = str(url)
        entry = self._before.pages.get(key)
        validators = entry.validators if entry is not None else NONE
        visit = await self._visitor.visit(url, validators, self._robots.check if self._robots else None)
        if visit.outcome == "same" and entry is not None and entry.final == visit.url:
            return self._keep(key, entry)
        if visit.outcome == "same":  # a redirect now leads elsewhere, and the validators were another page's
            visit = await self._visitor.visit(url, NONE, self._robots.check if self._robots else None)
        if visit.outcome == "gone":
            self.gone |= {key, visit.url} | ({entry.final, entry.canonical} - {""} if entry else set())
        elif visit.outcome == "left":
            self.left[key] = (visit.status, visit.reason)
        elif visit.outcome == "unknown":
            self.unknown[key] = visit.reason
            self._incomplete |= leads_on
        elif visit.file is not None:
            return await self._take(key, visit, visit.file)
        return ()

    def _keep(self, key: str, entry: Remembered) -> Sequence[URL]:
        """A page that has not changed."""
        links = [URL(self._before.urls[number], encoded=True) for number in entry.links]
        self._note(key, entry, links, Crawled(entry, None, ""))
        return links

    async def _take(self, key: str, visit: Visit, file: Path) -> Sequence[URL]:
        """A page that was sent."""
        url = URL(visit.url, encoded=True)
        kind = kind_of_page(visit.content_type, url)
        if kind is None:
            await asyncio.to_thread(file.unlink)
            what = visit.content_type.partition(";")[0] or "unknown"
            self.left[key] = ("unsupported", f"Pages of the type {what[:60]!r} cannot be read, only {READABLE}.")
            return ()
        marks = await asyncio.to_thread(read_marks, file, url, visit.robots) if kind == "html" else Marks()
        obeys = self._robots is not None
        canonical = marks.canonical if marks.canonical and self._reach.allows(marks.canonical) else None
        entry = Remembered(
            final=visit.url,
            kind=kind,
            digest=visit.digest,
            size=visit.size,
            validators=visit.validators,
            canonical=str(canonical) if canonical and canonical != url else "",
            index=marks.index or not obeys,
        )
        links = [link for link in marks.links if self._reach.allows(link)] if marks.follow or not obeys else []
        self._note(key, entry, links, Crawled(entry, file, visit.content_type))
        return links

    def _note(self, key: str, entry: Remembered, links: Sequence[URL], page: Crawled) -> None:
        numbers: tuple[int, ...] = ()
        if self._plan.depth:
            numbers = tuple(self._links.setdefault(str(link), len(self._links)) for link in links)
        self._now[key] = msgspec.structs.replace(entry, links=numbers)
        if entry.index and self._choice.takes(URL(entry.final, encoded=True).path.lstrip("/")):
            self.pages.append(page)
        elif page.file is not None:
            page.file.unlink()
