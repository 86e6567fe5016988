"""Sitemaps (sitemaps.org): the pages that a site says it has."""

from __future__ import annotations

import asyncio
import gzip
import io
import zlib
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct
from yarl import URL

from penstock.errors import UpstreamFailed
from penstock.knowledge.sources.reach import normal
from penstock.knowledge.sources.robots import Robots
from penstock.knowledge.sources.visits import Visitor
from penstock.knowledge.sources.xml import BadXml, local_name, parse_xml

MOST_BYTES = 52_428_800
"""As large as one sitemap may be, unpacked (sitemaps.org)."""
MOST_SITEMAPS = 500


class NotASitemap(ValueError):
    """What was sent is none."""


class SitemapFile(Struct, frozen=True):
    """One file: addresses of pages, or of further sitemaps."""

    kind: Literal["pages", "sitemaps"]
    addresses: tuple[str, ...]


class SitePages(Struct, frozen=True):
    """All pages of sitemaps, in their order, and why some sitemaps could not be read."""

    urls: tuple[URL, ...]
    failures: tuple[tuple[str, str], ...]


async def read_sitemaps(urls: Sequence[URL], visitor: Visitor, robots: Robots | None) -> SitePages:
    """Follows indexes. Raises `UpstreamFailed` where one that is configured cannot be read."""
    pages: dict[URL, None] = {}
    failures: list[tuple[str, str]] = []
    waiting, seen, read = deque(urls), set(urls), 0
    while waiting:
        url = waiting.popleft()
        read += 1
        if read > MOST_SITEMAPS:
            reason = f"There are more than {MOST_SITEMAPS} sitemaps; {len(waiting) + 1:,} were not read."
            failures.append((str(url), reason))
            break
        try:
            found = await _read(url, visitor, robots)
        except NotASitemap as error:
            if url in urls:
                raise UpstreamFailed(
                    f"The sitemap {url} cannot be read: {error}",
                    hint="What was taken in before is kept. Open the address in a browser.",
                ) from None
            failures.append((str(url), f"It cannot be read: {error}"))
            continue
        for address in map(normal, found.addresses):
            if address is None:
                continue
            if found.kind == "pages":
                pages[address] = None
            elif address not in seen:
                seen.add(address)
                waiting.append(address)
    return SitePages(tuple(pages), tuple(failures))


async def _read(url: URL, visitor: Visitor, robots: Robots | None) -> SitemapFile:
    visit = await visitor.visit(url, check=robots.check if robots else None)
    if visit.file is None:
        raise NotASitemap(visit.reason)
    try:
        return await asyncio.to_thread(read_sitemap, visit.file)
    finally:
        visit.file.unlink()


def read_sitemap(file: Path) -> SitemapFile:
    return parse_sitemap(file.read_bytes())


def parse_sitemap(data: bytes) -> SitemapFile:
    """A sitemap as XML or as lines of text, also compressed. Raises `NotASitemap`."""
    data = unpacked(data)
    if not data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        lines = data.decode("utf-8-sig", "replace").split()
        if not lines or normal(lines[0]) is None:
            raise NotASitemap("it is neither XML nor a list of addresses.")
        return SitemapFile("pages", tuple(lines))
    try:
        root = parse_xml(data)
    except BadXml as error:
        raise NotASitemap(f"{error}.") from None
    name = local_name(root)
    if name not in ("urlset", "sitemapindex"):
        raise NotASitemap(f"it is a <{name[:40]}>, not a <urlset> or <sitemapindex>.")
    addresses = ((inner.text or "").strip() for entry in root for inner in entry if local_name(inner) == "loc")
    kind: Literal["pages", "sitemaps"] = "pages" if name == "urlset" else "sitemaps"
    return SitemapFile(kind, tuple(address for address in addresses if address))


def unpacked(data: bytes) -> bytes:
    """The data, unpacked where it is compressed. Raises `NotASitemap` for too much."""
    if data.startswith(b"\x1f\x8b"):
        try:
            with gzip.open(io.BytesIO(data)) as file:
                data = file.read(MOST_BYTES + 1)
        except (OSError, EOFError, zlib.error):
            raise NotASitemap("it is compressed, but not whole.") from None
    if len(data) > MOST_BYTES:
        raise NotASitemap(f"it has more than {MOST_BYTES >> 20} MiB.")
    return data
