"""What a web page says of itself: its kind, where it leads, what its proper address is, what robots are to do."""

from __future__ import annotations

import codecs
import mimetypes
from email.message import Message
from email.utils import parsedate_to_datetime
from pathlib import Path, PurePosixPath

from msgspec import Struct
from selectolax.lexbor import LexborHTMLParser
from yarl import URL

from penstock.knowledge.loaders.kinds import Kind, kind_of
from penstock.knowledge.sources.reach import normal

VAGUE = frozenset(("", "text/plain", "application/octet-stream", "binary/octet-stream"))
"""Types that servers send for files that they know nothing of."""
MOST_PARSED = 10_000_000
"""Bytes of a page that links are looked for in."""
MOST_LINKS = 5_000


class Marks(Struct, frozen=True):
    """`links` are in the order of the page, each once; `canonical` is `None` where it says nothing."""

    links: tuple[URL, ...] = ()
    canonical: URL | None = None
    index: bool = True
    follow: bool = True


def kind_of_page(content_type: str, url: URL) -> Kind | None:
    """The kind of what was sent; `None` for one that cannot be read."""
    header = Message()
    header["content-type"] = content_type
    mime = header.get_content_type() if content_type else ""
    if mime in ("text/html", "application/xhtml+xml"):
        return "html"
    by_name = kind_of(PurePosixPath(url.path).name)
    if mime in VAGUE:
        return by_name or ("text" if mime == "text/plain" else None)
    suffix = mimetypes.guess_extension(mime)
    return (kind_of(f"page{suffix}") if suffix else None) or (by_name if mime.startswith("text/") else None)


def read_marks(file: Path, url: URL, robots_header: str) -> Marks:
    """What an HTML page says."""
    with file.open("rb") as source:
        tree = LexborHTMLParser(source.read(MOST_PARSED))
    rules = {robots_header.lower()}
    for meta in tree.css("meta[name]"):
        if (meta.attributes.get("name") or "").lower() == "robots":
            rules.add((meta.attributes.get("content") or "").lower())
    words = {word.strip() for rule in rules for word in rule.split(",")}
    base = tree.css_first("base[href]")
    start = joined(url, (base.attributes.get("href") or "") if base is not None else "") or url
    links: dict[URL, None] = {}
    for anchor in tree.css("a[href]"):
        link = joined(start, anchor.attributes.get("href") or "")
        if link is not None and len(links) < MOST_LINKS and "nofollow" not in (anchor.attributes.get("rel") or ""):
            links[link] = None
    canonical = tree.css_first("link[rel=canonical][href]")
    return Marks(
        links=tuple(links),
        canonical=joined(start, canonical.attributes.get("href") or "") if canonical is not None else None,
        index=not words & {"noindex", "none"},
        follow=not words & {"nofollow", "none"},
    )


def joined(base: URL, reference: str) -> URL | None:
    try:
        return normal(base.join(URL(reference.strip())))
    except ValueError:
        return None


def to_utf8(file: Path, content_type: str) -> None:
    """Writes down in the file which encoding its header said, as a byte order mark, for the header is lost."""
    header = Message()
    header["content-type"] = content_type
    charset = header.get_content_charset()
    if not charset or header.get_content_maintype() != "text":
        return
    try:
        text = file.read_bytes().decode(charset)
    except (LookupError, UnicodeError):
        return  # many servers say what they do not send
    if not text.startswith("\ufeff") and not text.isascii():
        file.write_bytes(codecs.BOM_UTF8 + text.encode())


def modified_us(last_modified: str) -> int | None:
    """A `Last-Modified` header in microseconds."""
    try:
        return int(parsedate_to_datetime(last_modified).timestamp() * 1e6) if last_modified else None
    except (ValueError, OverflowError):
        return None
