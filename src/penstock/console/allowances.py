"""What is used of limits, as bars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from penstock.access.limits.rules import rule
from penstock.access.limits.values import NANOS, CounterUsage
from penstock.access.limits.windows import FOREVER, window
from penstock.access.values import Key
from penstock.console import formats

UNITS = ("requests", "tokens", "", "at once")
NEARLY = 0.8


class Allowance(Struct, frozen=True, kw_only=True):
    """One bar: `used`, `left` and `amount` in words, and the `share` that is used, from 0 to 1 and beyond."""

    who: str
    rule: str
    used: str
    amount: str
    left: str
    window: str
    share: float
    resets_us: int | None

    @property
    def colour(self) -> str:
        return "full" if self.share >= 1 else "warn" if self.share >= NEARLY else ""


def of_key(key: Key, usage: Sequence[CounterUsage]) -> Iterable[Allowance]:
    """The limits that a key carries itself, also those that have counted nothing yet."""
    for settings in key.limits:
        for spec in rule(settings, f"key {key.name}").blank():
            place = (spec.rule, spec.dimension, spec.window, key.project_id)
            counted = [each for each in usage if place_of(each) == place]
            yield from map(allowance, counted or [CounterUsage(spec, 0, FOREVER)])


def place_of(usage: CounterUsage) -> tuple[str, int, str, str]:
    spec = usage.spec
    return spec.rule, spec.dimension, spec.window, spec.project_id


def of_others(usage: Iterable[CounterUsage]) -> Iterable[Allowance]:
    """The limits of the configuration and of projects, the fullest first."""
    shared = (each for each in usage if not each.spec.rule.rpartition(", ")[2].startswith("of key "))
    return sorted(map(allowance, shared), key=lambda each: -each.share)


def allowance(usage: CounterUsage) -> Allowance:
    spec = usage.spec
    write = formats.money if spec.dimension == NANOS else formats.compact
    return Allowance(
        who=spec.scope or ("everything" if spec.per == "all" else "nothing counted yet"),
        rule=spec.rule,
        used=write(usage.used),
        amount=f"{write(spec.amount)} {UNITS[spec.dimension]}".strip(),
        left=write(max(0, spec.amount - usage.used)),
        window=window(spec.window).words if spec.window else "",
        share=usage.used / spec.amount,
        resets_us=None if usage.ends_us >= FOREVER or usage.used == 0 else usage.ends_us,
    )
