"""What a caller says about caching in the headers of a request.

`Cache-Control` as RFC 9111 has it for requests, and `x-penstock-cache: on` or `off` for those who want to say
nothing about ages.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from penstock.errors import InvalidRequest

DIRECTIVES = "cache directives"
"""Where an exchange's options hold the `Directives`."""


class Directives(Struct, frozen=True, kw_only=True):
    """What to do with the cache for one request.

    `wanted`: cache it although it is not deterministic. `use` a stored answer, of at most `max_age` seconds;
    `store` a new one. `only`: fail rather than make an answer.
    """

    wanted: bool = False
    use: bool = True
    store: bool = True
    max_age: float | None = None
    only: bool = False


ON = Directives(wanted=True)
OFF = Directives(use=False, store=False)


def read_directives(headers: Mapping[bytes, bytes]) -> Directives | None:
    """`None` where a request says nothing. Header names are lower-case. Raises `InvalidRequest`."""
    switch = headers.get(b"x-penstock-cache")
    if switch is not None:
        return switched(switch)
    said = headers.get(b"cache-control")
    return None if said is None else parsed(said.decode("latin-1"))


def switched(value: bytes) -> Directives:
    word = value.strip().lower()
    if word not in (b"on", b"off"):
        raise InvalidRequest(
            f"The header x-penstock-cache is {value[:40].decode('latin-1')!r}.",
            hint="Send 'on' to cache an answer that is not deterministic, or 'off' to keep the cache out of it.",
            param="x-penstock-cache",
        )
    return ON if word == b"on" else OFF


def parsed(value: str) -> Directives | None:
    """Directives that are not known are ignored, as the RFC wants; an age that is no number is 0."""
    given = {}
    for each in value.lower().split(","):
        name, _, argument = each.strip().partition("=")
        given[name] = argument.strip('" ')
    if "no-store" in given:
        return OFF
    only, age = "only-if-cached" in given, given.get("max-age")
    if "no-cache" in given or age is not None or only:
        seconds = None if age is None else float(age) if age.isdecimal() else 0.0
        fresh = "no-cache" not in given and seconds != 0.0
        return Directives(wanted=only or bool(seconds), use=fresh, max_age=seconds or None, only=only)
    return None
