"""The lines of a batch's files: read from its input, written to its output and its errors.

{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {…}}
{"id": "batch_req_…", "custom_id": "a", "response": {"status_code": 200, "request_id": "req_…", "body": {…}},
 "error": null}
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Raw, Struct

from penstock.batches.values import BatchError, Line, Result
from penstock.errors import InvalidRequest
from penstock.ids import new_id
from penstock.models.dialects.decoding import decode

MOST_ID = 512
"""Characters of a `custom_id`."""
PIECE = 1 << 20


class Asked(Struct, frozen=True):
    """One line of the input."""

    custom_id: str
    method: str
    url: str
    body: dict[str, Raw]


class AskedBody(Struct, frozen=True):
    """What is needed of a line that was found well before: its body as it came."""

    custom_id: str
    body: Raw


class Response(Struct, frozen=True):
    status_code: int
    request_id: str
    body: Raw


class Answered(Struct, frozen=True):
    """One line of the output or the errors."""

    id: str
    custom_id: str | None
    response: Response | None
    error: BatchError | None


ASKED = msgspec.json.Decoder(Asked)
BODY = msgspec.json.Decoder(AskedBody)


def body_of(data: bytes) -> tuple[str, bytes]:
    """The `custom_id` and the body of a line that was read before."""
    asked = BODY.decode(data)
    return asked.custom_id, bytes(asked.body)


def answered(number: int, custom_id: str, response: Response) -> Result:
    """The result of a line that was asked; what refused it stands among the errors."""
    line = Answered(new_id("batch_req"), custom_id, response, None)
    return Result(number=number, is_error=response.status_code != 200, line=msgspec.json.encode(line))


def not_asked(number: int, custom_id: str | None, error: BatchError) -> Result:
    """The result of a line to which there is no answer."""
    line = Answered(new_id("batch_req"), custom_id, None, error)
    return Result(number=number, is_error=True, line=msgspec.json.encode(line))


class InputReader:
    """Reads a batch's file line by line, and says what is wrong with each.

    `sha256` is that of what was read so far, `total` the number of lines, `valid` of those that can be asked.
    """

    def __init__(self, path: Path, endpoint: str, longest: int) -> None:
        """`longest` is the most bytes of a line."""
        self._path = path
        self._endpoint = endpoint
        self._longest = longest
        self._seen: set[str] = set()
        self._digest = hashlib.sha256()
        self.total = 0
        self.valid = 0
        self.errors: list[BatchError] = []
        self.model: str | None = None

    @property
    def sha256(self) -> bytes:
        return self._digest.digest()

    def read(self) -> Iterator[Line | Result]:
        """Every line that is not empty, as one that can be asked or as the error that it comes to."""
        start = 0
        with self._path.open("rb") as file:
            while data := file.readline(self._longest + 2):
                self._digest.update(data)
                length, whole = len(data), data
                while not whole.endswith(b"\n") and (whole := file.readline(PIECE)):  # a line that is too long
                    self._digest.update(whole)
                    length += len(whole)
                if length > len(data) or data.strip():
                    self.total += 1
                    yield self._look(data if length == len(data) else None, start, length)
                start += length

    def _look(self, data: bytes | None, start: int, length: int) -> Line | Result:
        custom_id = None
        try:
            if data is None or length > self._longest + 1:
                raise InvalidRequest(f"The line is longer than {self._longest / (1 << 20):.4g} MB.")
            asked = decode(ASKED, data.strip())
            custom_id = asked.custom_id
            self._check(asked)
        except InvalidRequest as error:
            found = BatchError(
                code=CODES.get(error.param, "invalid_json_line"), message=str(error), line=self.total
            )
            if len(self.errors) < MOST_ERRORS:
                self.errors.append(found)
            return not_asked(self.total, custom_id, found)
        self.valid += 1
        return Line(number=self.total, start=start, length=length)

    def _check(self, asked: Asked) -> None:
        """Raises `InvalidRequest`."""
        if not 0 < len(asked.custom_id) <= MOST_ID:
            raise InvalidRequest(f"'custom_id' must have 1 to {MOST_ID} characters.", param="custom_id")
        if asked.custom_id in self._seen:
            raise InvalidRequest(
                f"'custom_id' {asked.custom_id!r} stands in an earlier line, too.",
                hint="Each line needs one of its own.",
                param="custom_id",
            )
        self._seen.add(asked.custom_id)
        if asked.method != "POST":
            raise InvalidRequest(f"'method' must be 'POST', not {asked.method[:20]!r}.", param="method")
        if asked.url != self._endpoint:
            raise InvalidRequest(
                f"'url' is {asked.url[:100]!r}, and the batch is for {self._endpoint!r}.",
                hint="A batch asks one endpoint.",
                param="url",
            )
        if bytes(asked.body.get("stream", b"")) == b"true":
            raise InvalidRequest("'stream' cannot be true in a batch.", hint="Leave it out.", param="body.stream")
        if self.model is None:
            self.model = text(asked.body.get("model"))


MOST_ERRORS = 100
"""Errors that a batch itself tells; all of them stand in its error file."""
CODES: dict[str | None, str] = {
    "custom_id": "invalid_custom_id",
    "method": "invalid_method",
    "url": "invalid_url",
    "body": "invalid_body",
    "body.stream": "invalid_body",
}


def text(value: Raw | None) -> str | None:
    if value is None:
        return None
    try:
        return msgspec.json.decode(value, type=str)
    except msgspec.MsgspecError:
        return None
