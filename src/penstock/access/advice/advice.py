"""What could be saved, and how. Each figure is added up from rows; what is reckoned says so.

repeated   the same question again, which a cache would have answered
prefix     the same long beginning again, which the provider read anew each time
context    passages that were sent to a model and that no sentence of an answer stands on
cheaper    another model whose answers people liked as much
length     a limit on answers that none came near, for which budgets set money aside
peak       one hour with far more calls than the others
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from msgspec import Struct

from penstock.access.advice import repository
from penstock.access.advice.repository import Bounds, Rows
from penstock.access.costs.values import CostFilter
from penstock.access.ledger import Ledger
from penstock.access.ledger.tables import HOUR_US
from penstock.traces.span import ContextUse, ModelScore

Kind = Literal["repeated", "prefix", "context", "cheaper", "length", "peak"]

CHARS_PER_TOKEN = 4
ENOUGH_CALLS = 100
BOUNDS = Bounds(repeated_us=HOUR_US, prefix_us=5 * 60 * 1_000_000, calls=ENOUGH_CALLS)
"""Providers keep a prompt in their cache for five minutes."""
ENOUGH_SCORES = 30
ENOUGH_ANSWERS = 30
PEAK = 5
"""Times the average hour."""
AS_GOOD = 0.1
"""How much worse a model may be liked, on the scale from -1 to 1, with 95% confidence."""
MOST_EACH = 5
MILLION = 1_000_000

Rates = Callable[[str], tuple[int, int] | None]
"""A model's price for a million tokens of input, and for such that its provider has cached, in nano-dollars."""


class Advice(Struct, frozen=True, kw_only=True):
    """One finding. `calls` are those that it is about, `saves_nanos` what they need not have cost.

    `saves_nanos` is null where it is worth no money or nobody knows. `estimated` says that a part of it is
    reckoned: tokens from characters, or what calls would have cost elsewhere.
    """

    kind: Kind
    title: str
    action: str
    project_id: str | None
    app: str
    model: str
    calls: int
    saves_nanos: int | None
    estimated: bool = False


class Evidence(Struct, frozen=True):
    """What advice is drawn from, beside the ledger."""

    scores: Sequence[ModelScore] = ()
    contexts: Sequence[ContextUse] = ()
    rates: Rates = lambda model: None


async def read_advice(ledger: Ledger, wanted: CostFilter, evidence: Evidence) -> tuple[Advice, ...]:
    """Everything that was found, what saves most first."""
    await ledger.flush()
    return await asyncio.to_thread(advice, ledger, wanted, evidence)


def advice(ledger: Ledger, wanted: CostFilter, evidence: Evidence) -> tuple[Advice, ...]:
    with ledger.database.read() as connection:
        found = repository.find(connection, wanted, BOUNDS)
    drawn = [
        *repeated(found.repeated),
        *prefixes(found.prefixes, evidence.rates),
        *unused(evidence.contexts, found.apps, evidence.rates, wanted),
        *cheaper(found.averages, evidence.scores, wanted),
        *lengths(found.lengths),
        *peaks(found.hours, wanted),
    ]
    return tuple(sorted(drawn, key=lambda each: -(each.saves_nanos or 0)))


def whose(row: Any) -> dict[str, Any]:
    return {"project_id": row.project_id, "app": row.app, "model": row.model}


def repeated(rows: Rows) -> Iterator[Advice]:
    for row in rows[:MOST_EACH]:
        yield Advice(
            kind="repeated",
            title=f"{row.calls:,} calls asked {row.model!r} exactly what had been asked within the hour before.",
            action="Switch the cache on: enabled = true under [cache] in penstock.toml.",
            calls=row.calls,
            saves_nanos=int(row.cost) if row.calls > row.unpriced else None,
            **whose(row),
        )


def prefixes(rows: Rows, rates: Rates) -> Iterator[Advice]:
    for row in rows[:MOST_EACH]:
        price = rates(row.model)
        tokens = int(row.chars) // CHARS_PER_TOKEN
        saves = None if price is None else tokens * (price[0] - price[1]) // MILLION
        yield Advice(
            kind="prefix",
            title=f"{row.calls:,} calls of {row.model!r} began with the same long message as one within five "
            f"minutes before ({int(row.chars) // row.calls:,} characters), and its provider had none of it cached.",
            action="Keep the beginning byte for byte the same and ask for it to be cached, as the provider wants; "
            'with several targets, strategy = "prefix" sends it to the same one.',
            calls=row.calls,
            saves_nanos=saves,
            estimated=True,
            **whose(row),
        )


def unused(contexts: Sequence[ContextUse], apps: Rows, rates: Rates, wanted: CostFilter) -> Iterator[Advice]:
    """For the answers that were looked at; the model is the one that the app calls most."""
    for each in contexts:
        if each.answers < ENOUGH_ANSWERS or each.unused * 2 < each.passages:
            continue
        model = next((row.model for row in apps if row.app == each.app), "")
        price = rates(model) if model else None
        tokens = each.unused_chars // CHARS_PER_TOKEN
        kept = math.ceil((each.passages - each.unused) / each.answers)
        yield Advice(
            kind="context",
            title=f"{each.unused:,} of {each.passages:,} passages that {each.app!r} sent to its model in "
            f"{each.answers:,} answers support none of their sentences.",
            action=f"Send fewer: {kept} a question were used on average; `passages` under [app] says how many.",
            project_id=wanted.project_id,
            app=each.app,
            model=model,
            calls=each.answers,
            saves_nanos=None if price is None else tokens * price[0] // MILLION,
            estimated=True,
        )


def lengths(rows: Rows) -> Iterator[Advice]:
    for row in rows[:MOST_EACH]:
        held = f", and budgets set {dollars(int(row.unused))} aside for nothing" if row.unused > 0 else ""
        yield Advice(
            kind="length",
            title=f"None of {row.calls:,} answers of {row.model!r} with a limit of {row.max_output:,} tokens was "
            f"longer than {row.longest:,}{held}.",
            action=f"Ask for {2 * row.longest:,} tokens at most: more calls fit into the same limits.",
            calls=row.calls,
            saves_nanos=None,
            **whose(row),
        )


def peaks(found: Rows, wanted: CostFilter) -> Iterator[Advice]:
    hours = max(1, -(-wanted.until_us // HOUR_US) - wanted.since_us // HOUR_US)
    calls, cost = sum(int(row.calls) for row in found), sum(int(row.cost) for row in found)
    if not found or found[0].calls < ENOUGH_CALLS or found[0].calls * hours < PEAK * calls:
        return
    top = found[0]
    when = datetime.fromtimestamp(top.hour * HOUR_US / 1e6, UTC)
    share = f" and {100 * int(top.cost) // cost}% of the money" if cost else ""
    yield Advice(
        kind="peak",
        title=f"The hour from {when:%Y-%m-%d %H:%M} UTC had {top.calls:,} of {calls:,} calls{share}, "
        f"{top.calls * hours / calls:.0f} times the average hour.",
        action="Send what can wait as a batch: it runs beside the rest, at half the price with many providers.",
        project_id=wanted.project_id,
        app="",
        model="",
        calls=int(top.calls),
        saves_nanos=None,
    )


def cheaper(rows: Rows, scores: Sequence[ModelScore], wanted: CostFilter) -> Iterator[Advice]:
    """Pairs of models of which the dearer is not liked better, each dearer one with its cheapest match."""
    judged = {each.model: each for each in scores if each.count >= ENOUGH_SCORES}
    priced = [row for row in rows if row.model in judged]
    for dear in priced:
        matches = [
            row
            for row in priced
            if per_call(row) < per_call(dear) and as_good(judged[row.model], judged[dear.model])
        ]
        if matches:
            best = min(matches, key=per_call)
            one, other = judged[best.model], judged[dear.model]
            yield Advice(
                kind="cheaper",
                title=f"{best.model!r} is liked as much as {dear.model!r} ({one.mean:+.2f} of {one.count:,} "
                f"against {other.mean:+.2f} of {other.count:,}) and costs {dollars(int(per_call(best)))} a call "
                f"instead of {dollars(int(per_call(dear)))}.",
                action=f"Try {best.model!r} for what {dear.model!r} does now; both must answer the same kind of "
                "question for this to hold.",
                project_id=wanted.project_id,
                app="",
                model=dear.model,
                calls=int(dear.calls),
                saves_nanos=int(dear.calls * (per_call(dear) - per_call(best))),
                estimated=True,
            )


def per_call(row: Any) -> float:
    return float(row.cost) / float(row.calls)


def as_good(one: ModelScore, other: ModelScore) -> bool:
    """Whether, with 95% confidence, people like one no more than `AS_GOOD` less than the other (Welch)."""
    spread = math.sqrt(one.variance / one.count + other.variance / other.count)
    return one.mean - other.mean - 1.645 * spread >= -AS_GOOD


def dollars(nanos: int) -> str:
    """Money for people, with as many digits as small amounts need."""
    amount, sign = abs(nanos) / 1e9, "-" if nanos < 0 else ""
    return f"{sign}${amount:,.2f}" if amount >= 1 or not nanos else f"{sign}${shortened(amount)}"


def shortened(amount: float) -> str:
    """Two digits that mean something: 0.0012, never 1.2e-03."""
    places = 1 - math.floor(math.log10(amount))
    return f"{amount:.{places}f}"
