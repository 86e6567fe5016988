"""`[[limits]]` and `[events]`: what callers may use in a time, and who is told before they reach it."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from penstock.config.addresses import http_address
from penstock.config.secret import Secret
from penstock.config.table import Table, conflict

Per = Literal["project", "key", "model", "user", "all"]

AMOUNTS = ("requests", "tokens", "usd", "concurrent")
CALENDAR = ("day", "week", "month")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
LONGEST = 366 * 86_400
MOST = 10**15
MOST_USD = 10**9


def window_seconds(text: str) -> int | None:
    """The length of a sliding window such as `"10s"` or `"1h"`; `None` for any other text."""
    found = re.fullmatch(r"([1-9]\d{0,7})([smhd])", text)
    return int(found[1]) * SECONDS[found[2]] if found else None


class LimitSettings(Table):
    """What may be used within a time. Each `[[limits]]` is one limit, and all that match a request hold."""

    project: str | None = Field(
        None, min_length=1, description="Only this project; `*` stands for any letters. Default: every project."
    )
    model: str | None = Field(
        None,
        min_length=1,
        description="Only requests for this model, by the name that was asked for; `*` stands for any letters. "
        "Default: every model.",
    )
    key: str | None = Field(
        None, min_length=1, description="Only the key with this name or id; `*` as above. Default: every key."
    )
    per: Per = Field(
        "project",
        description="What has a count of its own: each project, key, model, or end user (the request's `user`, "
        "within its project), or `all` for one count of everything.",
    )
    requests: int | None = Field(None, ge=1, le=MOST, description="Requests in the window.")
    tokens: int | None = Field(None, ge=1, le=MOST, description="Tokens in the window, read and written.")
    usd: float | None = Field(None, gt=0, le=MOST_USD, description="Money in the window, in US dollars.")
    concurrent: int | None = Field(
        None, ge=1, le=MOST, description="Requests at the same time, whatever the window."
    )
    window: str = Field(
        "1m",
        description="A sliding window such as `10s`, `1m` or `7d`, or a calendar period in UTC: `day`, `week` "
        "(from Monday) or `month`.",
    )
    warn_at: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Share of the limit, such as 0.8, from which answers carry a warning; the first time in each "
        "window it is logged and sent to the webhook, too.",
    )
    unpriced: Literal["pass", "refuse"] = Field(
        "pass",
        description="What becomes of calls under a limit of money whose price is not known: `pass` counts only "
        "what the provider says that they cost, `refuse` turns them away.",
    )

    @field_validator("window")
    @classmethod
    def _known_window(cls, window: str) -> str:
        seconds = window_seconds(window)
        if window not in CALENDAR and (seconds is None or seconds > LONGEST):
            raise ValueError(
                f"must be a time such as '10s', '1m', '1h' or '7d', at most 366d, or one of day, week and month, "
                f"not {window[:60]!r}"
            )
        return window

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if all(getattr(self, amount) is None for amount in AMOUNTS):
            raise ValueError("limits nothing: set at least one of requests, tokens, usd and concurrent")
        windowed = any(getattr(self, amount) is not None for amount in ("requests", "tokens", "usd"))
        if not windowed and "window" in self.model_fields_set:
            raise conflict("has no effect on concurrent, which is counted at every moment", "window")
        if self.usd is None and "unpriced" in self.model_fields_set:
            raise conflict("has no effect without usd", "unpriced")
        return self

    @property
    def place(self) -> tuple[object, ...]:
        """What is counted together; two limits with the same place count the same."""
        return (self.project, self.model, self.key, self.per, self.window)


def no_two_alike(limits: tuple[LimitSettings, ...]) -> tuple[LimitSettings, ...]:
    """Two amounts of one kind for the same count would be a mistake in one of them."""
    seen: dict[object, int] = {}
    for number, limit in enumerate(limits):
        for amount in AMOUNTS:
            if getattr(limit, amount) is None:
                continue
            place = (amount, *(limit.place if amount != "concurrent" else limit.place[:-1]))
            if place in seen:
                raise conflict(f"limits the same as limits[{seen[place]}]", number, amount)
            seen[place] = number
    return limits


def as_list(value: object) -> object:
    if isinstance(value, dict):
        raise ValueError("must be a list of tables: write [[limits]] with two brackets")
    return value


Limits = Annotated[
    tuple[LimitSettings, ...], Field(strict=False), BeforeValidator(as_list), AfterValidator(no_two_alike)
]
"""The `[[limits]]` of a file, of a key or of a project."""


class EventSettings(Table):
    """Who is told of what happens, such as a budget that is nearly used."""

    webhook: str | None = Field(
        None,
        description="Address that gets each event as a JSON POST. Only an address that this file names is ever "
        "called; redirects are not followed.",
    )
    secret: Secret | None = Field(
        None,
        description='Key of the signature in the header `webhook-signature`, always as `{ env = "NAME" }`. '
        "Default: events are not signed.",
    )

    @field_validator("webhook")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = http_address(value, "https://hooks.example.com/penstock", "secret")
        if parts.scheme == "http" and not is_inside(parts.hostname or ""):
            raise ValueError(f"must be https, for {parts.hostname} is reached over the open network")
        return value

    @model_validator(mode="after")
    def _nothing_ignored(self) -> Self:
        if self.secret is not None and self.webhook is None:
            raise conflict("has no effect without webhook", "secret")
        return self


def is_inside(host: str) -> bool:
    """Whether a host is this machine or one of its own network: a private address, or a name without a dot."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal"))
    return address.is_private or address.is_loopback
