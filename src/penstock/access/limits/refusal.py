"""A limit that is reached, in words: which, whose, how much is used, and when it frees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from penstock.access.limits.base import Counter
from penstock.access.limits.values import CONCURRENT, NANOS, NANOS_PER_USD, Amounts, CounterSpec
from penstock.access.limits.windows import SECOND, frees_at
from penstock.errors import BudgetExceeded, RateLimited

UNITS = ("requests", "tokens", "USD", "requests")
WHO = {"project": "Project", "key": "Key", "model": "Model", "user": "User"}
SEE = "`penstock limits` shows what is used."
SOON = 1.0
"""Seconds after which a request that ran into too many at once may come again; when one ends is not known."""


def last_to_free(counters: Sequence[Counter], amounts: Amounts, now_us: int) -> Counter | None:
    """Of the counters that have too little left, the one for which a request must wait longest.

    Whoever comes back when another one frees would be refused again. `None` where none is known to lack anything.
    """
    short = [
        counter
        for counter in counters
        if (amount := amounts[counter.dimension])
        and counter.ends > now_us
        and counter.used(now_us) + amount > counter.limit
    ]

    def wait(counter: Counter) -> float:
        amount = amounts[counter.dimension]
        if amount > counter.limit:
            return math.inf
        return frees_at(counter.count(), amount, now_us) or 0

    return max(short, key=wait, default=None)


def refusal(counter: Counter, amount: int, now_us: int) -> RateLimited:
    """The error for a request that needs `amount` of a counter that has less left."""
    spec, used = counter.spec, counter.used(now_us)
    kind = BudgetExceeded if spec.dimension == NANOS else RateLimited
    who, limit = who_of(spec), shown(spec, spec.amount)
    if amount > spec.amount:
        return kind(
            f"This request may need {shown(spec, amount)}, and {who} may use {limit} {counter.window.words}"
            f"{condition(spec)}.",
            hint="Ask for less: a smaller max_tokens, or a shorter prompt.",
        )
    if spec.dimension == CONCURRENT:
        return kind(
            f"{capital(who)} has {used} requests in progress, and {spec.amount} is the most{condition(spec)}.",
            hint="Try again when one has ended.",
            retry_after=SOON,
        )
    frees = frees_at(counter.count(), amount, now_us) or counter.ends
    seconds = max(1, math.ceil((frees - now_us) / SECOND))
    needs = f", and this one may need {shown(spec, amount)}" if amount > 1 else ""
    return kind(
        f"{capital(who)} has used {shown(spec, used).partition(' ')[0]} of {limit} {counter.window.words}"
        f"{condition(spec)}{needs}.",
        hint=f"Try again {when(frees, seconds)}. {SEE}",
        retry_after=float(seconds),
    )


def refuse_unpriced(counters: Sequence[Counter], model: str) -> None:
    """Raises `BudgetExceeded` where something counts money."""
    for counter in counters:
        if counter.dimension == NANOS:
            raise unpriced(counter.spec, model)


def unpriced(spec: CounterSpec, model: str) -> BudgetExceeded:
    """The error for a call whose price is not known, under a limit that wants to know it."""
    return BudgetExceeded(
        f"The price of {model!r} is not known, and {who_of(spec)} may use {shown(spec, spec.amount)} "
        f"of what is priced only{condition(spec)}.",
        hint="Configure a price for the model, or set unpriced = 'pass' for that limit.",
    )


def who_of(spec: CounterSpec) -> str:
    """Whose count it is, for the middle of a sentence."""
    if spec.per == "all":
        return "everybody together"
    if spec.per == "user" and not spec.scope:
        return "whoever names no user"
    return f"{WHO[spec.per].lower()} {spec.scope!r}"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def condition(spec: CounterSpec) -> str:
    """What else the limit says of the requests that it counts."""
    _, comma, rest = spec.rule.partition(", ")
    return f" ({rest})" if comma else ""


def shown(spec: CounterSpec, amount: int) -> str:
    """An amount with its unit: `1200 tokens`, `0.25 USD`."""
    if spec.dimension == NANOS:
        usd = amount / NANOS_PER_USD
        return f"{usd:.2f} USD" if usd >= 1 or amount == 0 else f"{usd:.6f}".rstrip("0").rstrip(".") + " USD"
    return f"{amount} {UNITS[spec.dimension]}"


def when(at_us: int, seconds: int) -> str:
    if seconds < 3600:
        return f"in {seconds} s" if seconds < 120 else f"in {seconds // 60} min"
    return f"at {datetime.fromtimestamp(at_us // SECOND, UTC):%Y-%m-%d %H:%M} UTC"
