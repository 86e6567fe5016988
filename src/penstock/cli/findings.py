"""What a check found, and what to do about it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

State = Literal["ok", "warn", "fail", "skip"]


class Finding(Struct, frozen=True):
    """`advice` is the next step; it is there whenever `state` is "warn" or "fail"."""

    check: str
    state: State
    detail: str
    advice: str = ""


def ok(check: str, detail: str) -> Finding:
    return Finding(check, "ok", detail)


def warn(check: str, detail: str, advice: str) -> Finding:
    return Finding(check, "warn", detail, advice)


def fail(check: str, detail: str, advice: str) -> Finding:
    return Finding(check, "fail", detail, advice)


def skip(check: str, detail: str) -> Finding:
    return Finding(check, "skip", detail)
