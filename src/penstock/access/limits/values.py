"""The frozen values of limits: what is asked for, what is counted, and how much of it is used."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from penstock.config.limits import Per
from penstock.exchange import Principal

Dimension = Literal["requests", "tokens", "usd", "concurrent"]
DIMENSIONS: tuple[Dimension, ...] = ("requests", "tokens", "usd", "concurrent")
REQUESTS, TOKENS, NANOS, CONCURRENT = range(4)
Amounts = tuple[int, int, int, int]
"""One amount for each of `DIMENSIONS`; money in nano-dollars."""

Part = Literal["all", "request", "work"]
"""What an exchange is counted for: `request` is a caller's to an app (requests, concurrency), `work` an app's own
call of a model (tokens, money), `all` a caller's call of a model."""

NANOS_PER_USD = 1_000_000_000


class Ask(Struct, frozen=True, kw_only=True):
    """What an exchange wants to use. `tokens` are estimated; `cost_nanos` is `None` where no price is known."""

    principal: Principal
    model: str
    user: str | None = None
    tokens: int = 0
    cost_nanos: int | None = None
    part: Part = "all"


class CounterSpec(Struct, frozen=True, kw_only=True):
    """One amount that is counted: of one limit, in one dimension, for one project, key, model or user.

    `id` is a hash of what is counted and not of `amount` and `warn`, so a limit that is raised goes on with what
    was used. `rule` is the limit in words, without its amounts; `scope` what has this count of its own ("" for
    `all`), `project_id` whose it is ("" where several projects share it). `amount` and `warn` are in the unit of
    the dimension (nano-dollars for money); `warn` is 0 for no warning.
    """

    id: str
    rule: str
    per: Per
    scope: str
    project_id: str
    dimension: int
    window: str
    amount: int
    warn: int = 0


class CounterUsage(Struct, frozen=True):
    """A counter at one time. `used` includes what is reserved; `ends_us` is when the running stretch ends."""

    spec: CounterSpec
    used: int
    ends_us: int


class Crossing(Struct, frozen=True):
    """A counter that has just reached its warning for the first time in a window."""

    spec: CounterSpec
    used: int
    ends_us: int
    at_us: int
