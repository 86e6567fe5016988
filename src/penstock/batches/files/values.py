"""A file, and what was asked of one that comes in."""

from __future__ import annotations

from typing import Literal, get_args

from msgspec import Struct

Purpose = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals", "batch_output"]
GIVEN: tuple[str, ...] = tuple(each for each in get_args(Purpose) if each != "batch_output")
"""What callers may say that a file is for; `batch_output` is for those that Penstock writes."""
Order = Literal["asc", "desc"]


class StoredFile(Struct, frozen=True, kw_only=True):
    """A file of a project. `size` is in bytes, `sha256` of its content.

    It is forgotten at `expires_us`, `None` for never.
    """

    id: str
    project_id: str
    purpose: str
    filename: str
    size: int
    sha256: bytes
    created_us: int
    expires_us: int | None = None


class NewFile(Struct, frozen=True, kw_only=True):
    """What is said of a file that comes in. `seconds` is how long it is kept, `None` for ever."""

    project_id: str
    purpose: str
    filename: str
    seconds: int | None = None


class FilePage(Struct, frozen=True, kw_only=True):
    """Which files to list: those after the file `after`, in the order of their making."""

    project_id: str
    purpose: str | None = None
    after: str | None = None
    limit: int = 100
    order: Order = "desc"
