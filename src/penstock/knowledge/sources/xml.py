"""XML from elsewhere, read without what XML can do to its reader."""

from __future__ import annotations

from xml.etree import ElementTree


class BadXml(ValueError):
    """What was sent is no whole XML, or has a document type, through which a small text could become a huge one."""


def parse_xml(data: bytes) -> ElementTree.Element:
    """Raises `BadXml`."""
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise BadXml("it has a document type")
    try:
        return ElementTree.fromstring(data)  # noqa: S314 - entities were refused
    except ElementTree.ParseError as error:
        raise BadXml(f"it is no whole XML ({error})") from None


def local_name(element: ElementTree.Element) -> str:
    """A tag without its namespace."""
    return str(element.tag).rpartition("}")[2]


def children(element: ElementTree.Element) -> dict[str, str]:
    """The text of each element inside one, by name."""
    return {local_name(inner): (inner.text or "").strip() for inner in element}
