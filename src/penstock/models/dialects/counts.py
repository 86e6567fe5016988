"""Counts of tokens as vendors report them, which are billed: what cannot be is unknown."""

from __future__ import annotations

MOST = 1_000_000_000
"""Tokens that no request has."""


def believable(*counts: int | None) -> bool:
    return all(count is None or 0 <= count <= MOST for count in counts)
