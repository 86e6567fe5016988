"""Archives that are documents (Office files, EPUB), opened without trusting them.

What an archive says it unpacks to is added up before anything is unpacked, and Python's reader never unpacks
more of an entry than was said. XML of Office files may hold no document type definition, which is where bombs
of entities are made.
"""

from __future__ import annotations

import io
import zipfile
import zlib

from lxml import etree
from msgspec import Struct

from penstock.knowledge.filters import Value
from penstock.knowledge.loaders.base import Unloadable
from penstock.knowledge.loaders.properties import flat

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
LARGEST_UNPACKED = 400_000_000
"""Bytes; an archive that unpacks to more is not a document that somebody wrote."""
LARGEST_XML = 150_000_000
"""Bytes of one XML part; as a tree it takes several times that."""
MOST_ENTRIES = 20_000
HEAD = 4096
CORE = "docProps/core.xml"
PROPERTIES = {
    "title": "title",
    "creator": "author",
    "subject": "subject",
    "keywords": "keywords",
    "category": "category",
    "language": "language",
    "created": "created",
    "modified": "modified",
}
"""Of Office files: what they call it, and what it is called here."""


class Format(Struct, frozen=True):
    """How a kind of file is called in what its owner reads."""

    name: str
    """As in "It is not a Word document"."""
    suffix: str
    old: str = ""
    """The suffix of its binary predecessor, which many files still are under a new name."""


def check_package(data: bytes, format: Format) -> None:
    """Refuses what is not an Office file of this kind, or one made to fill the memory. Raises `Unloadable`."""
    if data.startswith(OLE):
        if ENCRYPTED_PACKAGE in data:
            raise Unloadable("encrypted", "It is protected by a password. Save it without one.")
        raise Unloadable(
            "corrupt", f"It is an old file ({format.old}) by another name. Save it as {format.suffix}."
        )
    with open_archive(data, format) as archive:
        for entry in archive.infolist():
            if entry.filename.endswith((".xml", ".rels")) and b"<!DOCTYPE" in head(archive, entry, format):
                raise Unloadable(
                    "corrupt",
                    f"Its part {entry.filename!r} defines a document type, as no {format.name} does. Save it again"
                    " in the program that it is for.",
                )


def open_archive(data: bytes, format: Format) -> zipfile.ZipFile:
    """The archive, its size checked. Raises `Unloadable` for what is none, is encrypted or unpacks to too much."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        raise Unloadable(
            "corrupt",
            f"It is not a whole {format.name}, or none at all. Open it in its own program and save it again.",
        ) from None
    entries = archive.infolist()
    unpacked = sum(entry.file_size for entry in entries)
    largest = max((entry.file_size for entry in entries if is_text(entry.filename)), default=0)
    if unpacked > LARGEST_UNPACKED or largest > LARGEST_XML:
        raise Unloadable(
            "too_large",
            f"It unpacks to {unpacked / 1e6:,.0f} MB. Save it without embedded files and pictures, or split it.",
        )
    if len(entries) > MOST_ENTRIES:
        raise Unloadable("too_large", f"It is an archive of {len(entries):,} parts. Split it.")
    if any(entry.flag_bits & 1 for entry in entries):
        raise Unloadable("encrypted", "It is protected by a password. Save it without one.")
    return archive


def damaged(format: Format, error: Exception) -> Unloadable:
    """What to say of a file that its library refused. Raises `MemoryError` where the memory did not suffice."""
    if "memory" in str(error).lower():  # libxml2 says it in words only
        raise MemoryError
    return Unloadable(
        "corrupt", f"It is not a whole {format.name} ({error}). Open it in its own program and save it again."
    )


def read_entry(archive: zipfile.ZipFile, name: str, format: Format) -> bytes:
    """One part of the archive, whole. Raises `KeyError` where there is none, `Unloadable` where it is broken."""
    entry = archive.getinfo(name)
    try:
        return archive.read(entry)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError):
        raise broken(name, format) from None


def head(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, format: Format) -> bytes:
    """The first bytes of a part."""
    try:
        with archive.open(entry) as file:
            return file.read(HEAD)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError):
        raise broken(entry.filename, format) from None


def broken(name: str, format: Format) -> Unloadable:
    return Unloadable(
        "corrupt", f"Its part {name!r} is damaged. Open the {format.name} in its own program and save it again."
    )


def is_text(name: str) -> bool:
    """Whether a part is read as a tree, by its name."""
    return name.lower().endswith((".xml", ".rels", ".xhtml", ".html", ".htm", ".opf", ".ncx"))


def core_properties(data: bytes) -> dict[str, Value]:
    """What an Office file says of itself; nothing where it says nothing.

    The libraries that read such files put the present moment in the place of a date that is missing.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parser = etree.XMLParser(resolve_entities=False, no_network=True)
            tree = etree.fromstring(archive.read(CORE), parser)
    except (KeyError, zipfile.BadZipFile, zlib.error, etree.LxmlError):
        return {}
    found = {etree.QName(node).localname: node.text for node in tree.iterchildren(tag=etree.Element)}
    return flat({name: found[key] for key, name in PROPERTIES.items() if found.get(key)})
