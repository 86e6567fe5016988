"""A form with one file, read while it comes: the fields are kept, the file is handed on piece by piece."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.types import Receive

from penstock.errors import InvalidRequest
from penstock.http.bodies import ClientLeft
from penstock.models.dialects.openai.multipart import boundary_of, malformed, names

PIECE = 1 << 20
"""Bytes of a file that are handed on together."""
MOST_FIELDS = 20
MOST_VALUE = 8 << 10
MOST_HEAD = 8 << 10

Take = Callable[[bytes], Awaitable[None]]


class FormWithFile:
    """Reads one form whose file is the field `file`. `filename` is `None` until that came."""

    def __init__(self, media_type: str) -> None:
        """Raises `InvalidRequest` for a media type that is no form's, as `read` does for what is none."""
        from python_multipart.multipart import MultipartParser

        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self._name = ""
        self._head = bytearray()
        self._value = bytearray()
        self._pieces: list[bytes] = []
        self._ready = 0
        self._in_file = False
        self._ended = False
        self._parser = MultipartParser(
            boundary_of(media_type),
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header,
                "on_header_value": self._header_value,
                "on_header_end": lambda: self._head.extend(b"\r\n"),
                "on_headers_finished": self._named,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._whole,
            },
        )

    async def read(self, receive: Receive, take: Take) -> None:
        """Reads the body to its end, giving the file's content to `take`. Raises `ClientLeft`, too."""
        from python_multipart.exceptions import FormParserError

        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                raise ClientLeft("The client left before its file was complete.")
            more = message.get("more_body", False)
            try:
                self._parser.write(message.get("body", b""))
            except FormParserError as error:
                raise malformed(str(error)) from None
            if self._ready >= PIECE or (not more and self._ready):
                await take(b"".join(self._pieces))
                self._pieces, self._ready = [], 0
        if not self._ended:
            raise malformed("it ends too early")

    def _begin(self) -> None:
        if len(self.fields) >= MOST_FIELDS:
            raise malformed(f"it has more than {MOST_FIELDS} fields")
        self._head.clear()
        self._value.clear()
        self._new_header = True

    def _header(self, data: bytes, start: int, end: int) -> None:
        self._grow(self._head, data[start:end], MOST_HEAD)
        self._new_header = True

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        if self._new_header:
            self._head += b": "
            self._new_header = False
        self._grow(self._head, data[start:end], MOST_HEAD)

    def _named(self) -> None:
        name, filename = names(bytes(self._head).removesuffix(b"\r\n"))
        if name in self.fields or (name == "file" and self.filename is not None):
            raise InvalidRequest(f"The form has two fields {name[:60]!r}.", hint="Send one.", param=name[:60])
        self._name = name
        self._in_file = name == "file"
        if self._in_file:
            self.filename = filename or "file"

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._pieces.append(data[start:end])
            self._ready += end - start
        else:
            self._grow(self._value, data[start:end], MOST_VALUE)

    def _end(self) -> None:
        if not self._in_file:
            try:
                self.fields[self._name] = self._value.decode()
            except UnicodeDecodeError:
                raise malformed(f"the field {self._name[:60]!r} is not UTF-8") from None

    def _whole(self) -> None:
        self._ended = True

    def _grow(self, buffer: bytearray, data: bytes, most: int) -> None:
        if len(buffer) + len(data) > most:
            raise malformed(f"a field or its headers have more than {most} bytes")
        buffer += data
