"""A release is the hash over everything that shapes an answer; equal parts give the equal release.

The documents are not part of it: a trace names the knowledge generation beside the release, so that a changed
file does not make a new release. Only a generation that the configuration names is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.ids import content_id


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """`parts` names what went into the hash: JSON values, digests where the thing itself is large."""

    id: str
    app: str
    parts: dict[str, Any]


def make_release(app: str, parts: Mapping[str, Any]) -> Release:
    """The release of an app whose answers are shaped by `parts`; their order does not matter."""
    canonical = msgspec.json.encode({"app": app, "parts": dict(parts)}, order="deterministic")
    return Release(id=content_id("rel", canonical), app=app, parts=dict(parts))
