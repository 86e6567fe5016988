"""A piece of background work, and who does it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Struct


class Job(Struct, frozen=True, kw_only=True):
    """Work that was promised. `id` is that of what is worked on, so that there is one job for each.

    It is not done before `due_us`; `failures` counts how often it raised, `error` is what it said last. How far it
    has come is kept by the part whose work it is.
    """

    id: str
    kind: str
    project_id: str
    created_us: int
    due_us: int
    failures: int = 0
    error: str | None = None


Handler = Callable[[Job], Awaitable[None]]
"""Does a job, or goes on with one. The job is over when its row is gone: the handler removes it, together with
what the work came to. One that returns without is called again. It may be cancelled at any time."""
