"""A run as it is remembered: who wanted it, how far it is, and what came of it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from penstock.knowledge.values import IngestProgress, IngestSummary

Trigger = Literal["cli", "api", "schedule", "watch", "push", "upload"]
RunState = Literal["queued", "running", "done", "partial", "failed", "cancelled"]
"""`partial`: everything but some sources was taken in; the report names them. Only `done` and `partial` runs made
a generation, or found that none was needed."""

OVER: frozenset[RunState] = frozenset(("done", "partial", "failed", "cancelled"))


class RunRules(Struct, frozen=True, kw_only=True):
    """What one run may do: delete more of a source than its limit, find nothing at all. One that `completes` looks
    for missing vectors of all generations, as a repair does. `note` is kept with the generation. Where `sources`
    are named, only these are brought up to date."""

    allow_delete: bool = False
    may_be_empty: bool = False
    completes: bool = False
    note: str = ""
    sources: tuple[str, ...] = ()


RULES = RunRules()


class RunError(Struct, frozen=True):
    """Why a run failed, and what to do; `code` is that of the error."""

    code: str
    message: str
    hint: str = ""


class Run(Struct, frozen=True, kw_only=True):
    """One run. Times are UTC microseconds. `generation` is the newest one when it ended."""

    id: str
    trigger: Trigger
    state: RunState
    created_at: int
    started_at: int | None = None
    ended_at: int | None = None
    generation: int | None = None
    progress: IngestProgress | None = None
    report: IngestSummary | None = None
    error: RunError | None = None


class RunOptions(Struct, frozen=True):
    """What a run was asked for with. A durable one goes on after a kill of its server."""

    rules: RunRules
    durable: bool
