"""Forms (RFC 7578): where each field stands in a body, and a body with one field changed, all others as they came.

Nothing is copied to find the fields. What could be read in two ways is refused: what is checked here must be what
the API behind reads.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from email.message import Message

from msgspec import Struct

from penstock.errors import InvalidRequest

MAX_FIELDS = 200
MAX_HEAD = 8 << 10
FORM_TYPE = "multipart/form-data"
PARAMETER = re.compile(r"""\s*([A-Za-z0-9!#$%&'*+.^_`|~-]+)=("(?:[^"\\]|\\.)*"|[^\s";]+)\s*(?:;|$)""")
ESCAPED = re.compile(r'\\(["\\])')


class Field(Struct, frozen=True):
    """One field of a form. Its value is `body[start:end]`; `filename` is `None` where it is no file."""

    name: str
    filename: str | None
    start: int
    end: int


def fields_of(body: bytes, media_type: str) -> list[Field]:
    """The fields in order. `media_type` is the body's, with its boundary. Raises `InvalidRequest`."""
    delimiter = b"\r\n--" + boundary_of(media_type)
    if body.startswith(delimiter[2:]):
        at = len(delimiter) - 2
    elif body.startswith(delimiter):
        at = len(delimiter)
    else:
        raise malformed("it does not begin with its boundary")
    fields: list[Field] = []
    while not body.startswith(b"--", at):
        if len(fields) == MAX_FIELDS:
            raise malformed(f"it has more than {MAX_FIELDS} fields")
        head = after_padding(body, at)
        start = end_of_head(body, head)
        end = body.find(delimiter, start)
        if end < 0:
            raise malformed("it ends too early")
        name, filename = names(body[head : start - 4])
        fields.append(Field(name, filename, start, end))
        at = end + len(delimiter)
    return fields


def boundary_of(media_type: str) -> bytes:
    header = Message()
    header["content-type"] = media_type
    boundary = header.get_param("boundary")
    if header.get_content_type() != FORM_TYPE or not isinstance(boundary, str) or not 0 < len(boundary) <= 70:
        raise InvalidRequest(
            f"The body is declared as {media_type[:100]!r}, which is no form with a boundary.",
            hint=f"Send it as '{FORM_TYPE}; boundary=…', as HTTP clients do for files.",
        )
    return boundary.encode("latin-1", "replace")


def after_padding(body: bytes, at: int) -> int:
    """The start of the line after a boundary, which may be followed by blanks only."""
    line = body.find(b"\r\n", at, at + 100)
    if line < 0 or body[at:line].strip(b" \t"):
        raise malformed("a boundary is not followed by a new line")
    return line + 2


def end_of_head(body: bytes, head: int) -> int:
    end = body.find(b"\r\n\r\n", head, head + MAX_HEAD)
    if end < 0:
        raise malformed("a field has no end of its headers")
    return end + 4


def names(head: bytes) -> tuple[str, str | None]:
    """The name of a field, and of its file."""
    found: list[str] = []
    for line in head.split(b"\r\n"):
        key, colon, value = line.partition(b":")
        if not colon or line[:1] in b" \t" or b"\r" in line or b"\n" in line or b"\0" in line:
            raise malformed("a field's header is not one")
        if key.strip().lower() == b"content-disposition":
            found.append(text(value))
    if len(found) != 1:
        raise malformed("a field has no Content-Disposition, or two")
    kind, _, rest = found[0].partition(";")
    given = parameters(rest)
    if kind.strip().lower() != "form-data" or "name" not in given:
        raise malformed("a field has no name")
    return given["name"], given.get("filename", given.get("filename*"))


def parameters(text: str) -> dict[str, str]:
    """The parameters of a header, by name in lower case."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = PARAMETER.match(text, at)
        if match is None or match[1].lower() in found:
            raise malformed("a field's Content-Disposition is not one")
        value = match[2]
        found[match[1].lower()] = ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value
        at = match.end()
    return found


def text(value: bytes) -> str:
    try:
        return value.decode().strip()
    except UnicodeDecodeError:
        raise malformed("a field's header is not UTF-8") from None


def malformed(reason: str) -> InvalidRequest:
    return InvalidRequest(f"The form cannot be read: {reason}.", hint=f"Send it as {FORM_TYPE} (RFC 7578).")


def with_value(body: bytes, fields: Sequence[Field], name: str, value: bytes) -> bytes:
    """The body with another value of one field that occurs once; every other byte stays."""
    (field,) = [each for each in fields if each.name == name]
    return b"".join((memoryview(body)[: field.start], value, memoryview(body)[field.end :]))
