"""Faults of a simulated provider, as data: what goes wrong, and when.

    slow_down = Fault(kind="rate_limit", retry_after=2)
    ProviderServer(faults=[Plan(fault=slow_down, share=0.1), Plan(fault=Fault(kind="stall"), every=7)])

`apply` turns a good answer into a bad one; what is bad is worded as the vendor words it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from email.utils import formatdate
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from penstock.errors import ConfigError
from penstock.testing.answers import Answer, Cut, Pause, Reply, Step, Stream
from penstock.testing.words.base import Said, Words

FaultKind = Literal[
    "delay",
    "stall",
    "stall_in_stream",
    "cut",
    "cut_in_stream",
    "drip",
    "stale_connection",
    "bad_json",
    "half_utf8",
    "oversize",
    "error_in_stream",
    "rate_limit",
    "overloaded",
    "server_error",
    "context_length",
    "auth",
    "content_filter",
    "no_usage",
    "null_usage",
    "absurd_usage",
]
TROUBLES = ("rate_limit", "overloaded", "server_error", "context_length", "auth", "content_filter")
USAGES: dict[str, tuple[int | None, int | None] | None] = {
    "no_usage": None,
    "null_usage": (None, None),
    "absurd_usage": (10**15, 10**15),
}


class Fault(Struct, frozen=True, kw_only=True):
    """One thing that goes wrong.

    `seconds` is how long a "delay" is, and how long a "drip" waits between two bytes or events; a "stall" has no
    end. `after` is how many events a stream sends before it breaks. `retry_after` is what a refusal says in
    seconds, or as a date where `as_date`. A "stale_connection" is closed when a second request comes over it.
    """

    kind: FaultKind
    seconds: float = 0.05
    after: int = 2
    retry_after: float | None = None
    as_date: bool = False


class Plan(Struct, frozen=True, kw_only=True):
    """When a fault happens: for every n-th request, or for a share of them that a seed decides; else always."""

    fault: Fault
    every: int | None = None
    share: float | None = None


class Schedule:
    """Decides for one request after the other. The first plan that is due counts."""

    def __init__(self, plans: Sequence[Plan] = (), seed: int = 0) -> None:
        self.plans = list(plans)
        self._random = random.Random(seed)  # noqa: S311
        self._requests = 0

    def next(self) -> Fault | None:
        self._requests += 1
        due = None
        for plan in self.plans:
            drawn = self._random.random() if plan.share is not None else 0.0  # drawn always, so that plans add up
            if due is None and self._is_due(plan, drawn):
                due = plan.fault
        return due

    def _is_due(self, plan: Plan, drawn: float) -> bool:
        if plan.every is not None:
            return self._requests % plan.every == 0
        return plan.share is None or drawn < plan.share


def misreport(said: Said, fault: Fault | None) -> Said:
    """What the model says, with the usage that a fault makes of it."""
    return replace(said, usage=USAGES[fault.kind]) if fault is not None and fault.kind in USAGES else said


def apply(fault: Fault, answer: Answer, words: Words) -> Answer:
    """The answer as the fault leaves it. What breaks a stream breaks a whole answer as well, if it can."""
    if fault.kind in TROUBLES:
        reply = words.error(fault.kind)  # type: ignore[arg-type]
        return replace(reply, headers=reply.headers | waiting(fault))
    if fault.kind == "cut":
        return Cut()
    if isinstance(answer, Cut):
        return answer
    if fault.kind in ("delay", "stall"):
        return replace(answer, after=Pause(fault.seconds) if fault.kind == "delay" else Pause())
    if isinstance(answer, Stream):
        return broken_stream(fault, answer, words)
    return broken_reply(fault, answer, words)


def broken_stream(fault: Fault, stream: Stream, words: Words) -> Stream:
    events = list(stream.events)
    at = min(fault.after, len(events))
    if fault.kind == "drip":
        slow: list[Step] = []
        for event in events:
            slow += [event, Pause(fault.seconds)]
        return replace(stream, events=slow)
    step: Step
    if fault.kind == "stall_in_stream":
        step = Pause()
    elif fault.kind == "cut_in_stream":
        step = Cut()
    elif fault.kind == "error_in_stream":
        return replace(stream, events=[*events[:at], words.error_step("overloaded")], done=False)
    elif fault.kind in ("bad_json", "half_utf8", "oversize"):
        step = words.malformed(fault.kind)
    else:
        return stream
    return replace(stream, events=[*events[:at], step, *events[at:]])


def broken_reply(fault: Fault, reply: Reply, words: Words) -> Answer:
    if fault.kind == "drip":
        return replace(reply, drip=fault.seconds)
    if fault.kind == "cut_in_stream":
        return replace(reply, cut=True)
    if fault.kind == "stall_in_stream":
        return replace(reply, after=Pause())
    if fault.kind in ("bad_json", "half_utf8"):
        body = reply.body[: len(reply.body) // 2]
        return replace(reply, body=body if fault.kind == "bad_json" else body + b'\xc3"}')
    if fault.kind == "error_in_stream":
        return words.error("overloaded")
    return reply


def waiting(fault: Fault) -> dict[str, str]:
    """The header that says when to come back."""
    if fault.retry_after is None:
        return {}
    if fault.as_date:
        return {"retry-after": formatdate(time.time() + fault.retry_after, usegmt=True)}
    return {"retry-after": f"{fault.retry_after:g}"}


def read_plan(text: str) -> Plan:
    """A plan as it is written on a command line: `rate_limit:share=0.1,retry_after=2`. Raises `ConfigError`."""
    kind, _, rest = text.partition(":")
    fields: dict[str, float | bool] = {}
    try:
        for each in filter(None, rest.split(",")):
            name, _, value = each.partition("=")
            fields[name] = True if name == "as_date" else float(value)
        every = int(fields.pop("every")) if "every" in fields else None
        share = fields.pop("share", None)
        if "after" in fields:
            fields["after"] = int(fields["after"])
        if kind not in FaultKind.__args__:  # type: ignore[attr-defined]
            raise ValueError(kind)
        return Plan(fault=Fault(kind=kind, **fields), every=every, share=share)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        kinds = ", ".join(FaultKind.__args__)  # type: ignore[attr-defined]
        raise ConfigError(
            f"{text!r} is not a fault.",
            hint=f"For example 'rate_limit:share=0.1,retry_after=2' or 'stall:every=7'. There are {kinds}.",
        ) from None
