"""EPUB: the chapters of a book in the order of its spine, each read as the web page that it is."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import unquote

from lxml import etree
from msgspec import Struct

from penstock.knowledge.filters import Value
from penstock.knowledge.loaders.base import LoadedDocument, TextBuilder, Unloadable
from penstock.knowledge.loaders.html import add_html
from penstock.knowledge.loaders.packages import Format, damaged, open_archive, read_entry
from penstock.knowledge.loaders.places import Place
from penstock.knowledge.loaders.properties import flat

BOOK = Format("EPUB book", ".epub")
CONTAINER = "META-INF/container.xml"
ENCRYPTION = "META-INF/encryption.xml"
PAGES = ("application/xhtml+xml", "text/html")
FONTS = ("font", ".ttf", ".otf", ".woff")
DESCRIBED = {"creator": "author", "language": "language", "publisher": "publisher", "date": "created"}
SHOWN = 5


class Book(Struct, frozen=True):
    """What a book's package file says: its title, what is known of it, and its pages in order."""

    title: str
    metadata: dict[str, Value]
    pages: tuple[str, ...]


class Page(Struct, frozen=True):
    """Where a page of a book begins: its first character, and its first block."""

    start: int
    block: int


def load_epub(data: bytes) -> LoadedDocument:
    """Raises `Unloadable` for what is not a book, is protected, or has no page that can be read."""
    with open_archive(data, BOOK) as archive:
        check_protection(archive)
        try:
            book = read_book(archive)
        except (etree.LxmlError, KeyError, ValueError) as error:
            raise damaged(BOOK, error) from None
        builder = TextBuilder()
        pages: list[Page] = []
        missing: list[str] = []
        for name in book.pages:
            start, before = builder.length, len(builder.blocks)
            try:
                add_html(builder, read_entry(archive, name, BOOK))
                pages.append(Page(start, before))
            except (KeyError, Unloadable):
                missing.append(name)
    if missing and len(missing) == len(book.pages):
        raise Unloadable("corrupt", "None of its chapters can be read. Get it again.")
    return LoadedDocument(
        text=builder.text(),
        title=book.title or builder.title(),
        blocks=tuple(builder.blocks),
        places=tuple(chapters(builder, pages)),
        metadata=book.metadata,
        status="partial" if missing else "ok",
        reason=f"{len(missing)} of its chapters could not be read: {', '.join(missing[:SHOWN])}. Get it again."
        if missing
        else "",
    )


def chapters(builder: TextBuilder, pages: Sequence[Page]) -> Iterator[Place]:
    """Where the chapters begin: at the pages that have a heading, which names them."""
    text = builder.text()
    for page, end in zip(pages, [*(page.block for page in pages[1:]), len(builder.blocks)], strict=True):
        for block in builder.blocks[page.block : end]:
            if block.kind == "heading":
                yield Place(page.start, f"chapter “{' '.join(text[block.start : block.end].split())}”")
                break


def check_protection(archive: zipfile.ZipFile) -> None:
    """Refuses a book whose pages are encrypted; fonts are in many that are not. Raises `Unloadable`."""
    if ENCRYPTION not in archive.namelist():
        return
    try:
        listed = parsed(read_entry(archive, ENCRYPTION, BOOK))
    except etree.LxmlError as error:
        raise damaged(BOOK, error) from None
    targets = [(node.get("URI") or "").lower() for node in named(listed, "CipherReference")]
    if any(not any(font in target for font in FONTS) for target in targets):
        raise Unloadable("encrypted", "It is protected against copying. Get it without protection.")


def read_book(archive: zipfile.ZipFile) -> Book:
    """Raises `KeyError`, `ValueError` or `etree.LxmlError` where what a book must have is not there."""
    container = parsed(read_entry(archive, CONTAINER, BOOK))
    root = next((node.get("full-path") for node in named(container, "rootfile")), None)
    if not root:
        raise ValueError("its container names no package")
    package = parsed(read_entry(archive, root, BOOK))
    folder = posixpath.dirname(root)
    items = {
        node.get("id"): posixpath.normpath(posixpath.join(folder, unquote(node.get("href") or "")))
        for node in named(package, "item")
        if node.get("media-type") in PAGES
    }
    order = [items[key] for node in named(package, "itemref") if (key := node.get("idref")) in items]
    if not order:
        raise ValueError("its spine names no page")
    about: dict[str, str] = {}
    for tag, name in {"title": "title", **DESCRIBED}.items():
        for node in named(package, tag):
            about.setdefault(name, "".join(node.itertext()))
    title = " ".join(about.pop("title", "").split())
    return Book(title, flat(about), tuple(dict.fromkeys(order)))


def parsed(source: bytes) -> Any:
    """XML without entities of its own and without the network."""
    return etree.fromstring(source, etree.XMLParser(resolve_entities=False, no_network=True))


def named(tree: Any, name: str) -> Iterator[Any]:
    """The elements of that name in any namespace, in order."""
    yield from tree.iter(f"{{*}}{name}")
