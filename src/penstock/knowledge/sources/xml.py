"""XML from elsewhere, read without what XML can do to its reader."""

from __future__ import annotations

from xml.etree import ElementTree


class BadXml(ValueError):
    """What was sent is no whole XML, or has a document type, through which a small text could become a huge one."""


class Builder(ElementTree.TreeBuilder):
    """Stops at a document type, in whatever encoding it is written, before anything that it defines is used."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise BadXml("it has a document type")


def parse_xml(data: bytes) -> ElementTree.Element:
    """Raises `BadXml`."""
    try:
        return ElementTree.fromstring(data, ElementTree.XMLParser(target=Builder()))  # noqa: S314 - see `Builder`
    except BadXml:
        raise
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # the latter two of its encoding
        raise BadXml(f"it is no whole XML ({error})") from None


def local_name(element: ElementTree.Element) -> str:
    """A tag without its namespace."""
    return str(element.tag).rpartition("}")[2]


def children(element: ElementTree.Element) -> dict[str, str]:
    """The text of each element inside one, by name, as it stands: a key may begin with a space."""
    return {local_name(inner): inner.text or "" for inner in element}
