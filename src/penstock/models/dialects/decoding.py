"""JSON from outside to typed values, with errors that name the place."""

from __future__ import annotations

import contextlib
import re
from typing import TypeVar

import msgspec

from penstock.errors import InvalidRequest

T = TypeVar("T")

PROBLEM = re.compile(r"(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?", re.DOTALL)
EXPECTED = re.compile(r"Expected `(?P<wanted>[^`]*)`(?: (?P<limit>[<>]=? [^,]+))?(?:, got `(?P<got>[^`]*)`)?")
MISSING = re.compile(r"Object missing required field `(?P<name>[^`]*)`")
NAMES = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "array": "an array",
    "object": "an object",
    "null": "null",
}


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """The typed value of a JSON body. Raises `InvalidRequest` whose `param` is the path of what is wrong."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise explain(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(body, error) from None


def understood(decoder: msgspec.json.Decoder[T], data: bytes) -> T | None:
    """The typed value of what a provider wrote; `None` for what is written otherwise than expected."""
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return decoder.decode(data)
    return None


def text_of(raw: msgspec.Raw) -> str:
    """JSON that is kept as text, for nothing in it is read here. Raises `InvalidRequest`."""
    data = bytes(raw)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise unreadable(data, error) from None


def unreadable(body: bytes, error: Exception) -> InvalidRequest:
    """Why a body is not JSON."""
    if not body.strip():
        return InvalidRequest("The request has no body.", hint="Send a JSON object.")
    if isinstance(error, UnicodeDecodeError):
        reason = f"it has bytes that are not UTF-8 ({error.reason})"
    elif isinstance(error, RecursionError):
        reason = "it is nested too deeply"
    elif "truncated" in str(error):
        reason = "it ends too early"
    else:
        reason = str(error).removeprefix("JSON is malformed: ")
    return InvalidRequest(f"The body is not JSON: {reason}.", hint="Send a JSON object, encoded as UTF-8.")


def explain(error: msgspec.ValidationError) -> InvalidRequest:
    """A mismatch of types in words: what stands where, and what must stand there."""
    match = PROBLEM.fullmatch(str(error))
    what, path = (match["what"], match["path"] or "") if match else (str(error), "")
    path = path.removeprefix("$").removeprefix(".")
    if missing := MISSING.match(what):
        path = f"{path}.{missing['name']}" if path else missing["name"]
        return InvalidRequest(f"{path!r} is missing.", hint="Add it to the request.", param=path)
    subject = repr(path) if path else "The body"
    if expected := EXPECTED.match(what):
        wanted = " or ".join(NAMES.get(name, name) for name in expected["wanted"].split(" | ") if name != "null")
        limit = f" {expected['limit']}" if expected["limit"] else ""
        got = f", not {NAMES.get(expected['got'], expected['got'])}" if expected["got"] else ""
        return InvalidRequest(f"{subject} must be {wanted}{limit}{got}.", param=path or None)
    return InvalidRequest(f"{subject} is not valid: {what[:1].lower()}{what[1:]}.", param=path or None)
