"""A body that goes to a file, as long as it is not too large."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterable
from pathlib import Path

from msgspec import Struct


class TooLarge(Exception):
    """More came than may."""


class Saved(Struct, frozen=True):
    """Bytes, and their SHA-256 in hex."""

    size: int
    digest: str


async def save(pieces: AsyncIterable[bytes], file: Path, limit: int) -> Saved:
    """Writes the pieces; leaves no file behind where that fails. Raises `TooLarge`, and what `pieces` raises."""
    digest, size = hashlib.sha256(), 0
    out = await asyncio.to_thread(file.open, "wb")
    try:
        with out:
            async for piece in pieces:
                size += len(piece)
                if size > limit:
                    raise TooLarge
                digest.update(piece)
                out.write(piece)
    except BaseException:
        file.unlink(missing_ok=True)  # noqa: ASYNC240 - also when this is cancelled
        raise
    return Saved(size, digest.hexdigest())
