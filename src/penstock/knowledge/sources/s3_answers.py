"""What S3 answers: pages of a listing, and errors."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import unquote_plus

from msgspec import Struct

from penstock.knowledge.sources.xml import BadXml, children, local_name, parse_xml


class ObjectEntry(Struct, frozen=True):
    """An object of a listing."""

    key: str
    etag: str
    size: int
    modified: str
    storage_class: str

    @property
    def modified_us(self) -> int | None:
        try:
            return int(datetime.fromisoformat(self.modified).timestamp() * 1e6)
        except ValueError:
            return None


class ObjectPage(Struct, frozen=True):
    """One answer of a listing; `token` asks for the next, "" at the end."""

    objects: tuple[ObjectEntry, ...]
    token: str


def object_page(data: bytes) -> ObjectPage:
    """Raises `BadXml` for what is no page of a listing, or says that there is more and not where."""
    root = parse_xml(data)
    if local_name(root) != "ListBucketResult":
        raise BadXml(f"it is a <{local_name(root)[:40]}>")
    said = children(root)
    decode = unquote_plus if said.get("EncodingType") == "url" else str
    objects = []
    for element in root:
        if local_name(element) != "Contents":
            continue
        entry = children(element)
        size = entry.get("Size", "")
        if "Key" not in entry or not size.isdigit():
            raise BadXml("an object has no key or no size")
        objects.append(
            ObjectEntry(
                decode(entry["Key"]),
                entry.get("ETag", "").strip('"'),
                int(size),
                entry.get("LastModified", ""),
                entry.get("StorageClass", ""),
            )
        )
    token = said.get("NextContinuationToken", "")
    if said.get("IsTruncated") == "true" and not token:
        raise BadXml("it is truncated, and does not say where it goes on")
    return ObjectPage(tuple(objects), token if said.get("IsTruncated") == "true" else "")


def error_code(data: bytes) -> str:
    """The code of an error, "" where there is none."""
    try:
        return children(parse_xml(data)).get("Code", "")
    except BadXml:
        return ""
