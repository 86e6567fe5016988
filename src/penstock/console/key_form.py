"""The form that makes a key: texts as they were typed, and what they mean."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from pydantic import TypeAdapter, ValidationError

from penstock.access.values import NewKey
from penstock.config.limits import Limits, LimitSettings
from penstock.console.forms import patterns
from penstock.errors import InvalidRequest
from penstock.exchange import Role

DAY_US = 86_400_000_000
LIFETIMES = {
    "": "Never",
    "1": "In a day",
    "7": "In a week",
    "30": "In 30 days",
    "90": "In 90 days",
    "365": "In a year",
}
WINDOWS = {
    "1m": "a minute",
    "1h": "an hour",
    "day": "a day",
    "week": "a week",
    "month": "a month",
}
LIMITS: TypeAdapter[tuple[LimitSettings, ...]] = TypeAdapter(Limits)


class KeyForm(Struct, frozen=True, kw_only=True):
    """`models` and `routes` are patterns with spaces between them. "" is not filled in. `days` until it ends."""

    name: str = ""
    project: str = ""
    role: Role = "developer"
    models: str = ""
    routes: str = ""
    days: str = ""
    usd: str = ""
    usd_window: str = "month"
    requests: str = ""
    requests_window: str = "1m"
    tokens: str = ""
    tokens_window: str = "day"
    concurrent: str = ""

    def new_key(self, now_us: int) -> NewKey:
        """Raises `InvalidRequest` for what cannot be read."""
        return NewKey(
            name=self.name,
            project_id=self.project or None,
            role=self.role,
            models=patterns(self.models),
            routes=patterns(self.routes),
            limits=self._limits(),
            expires_us=now_us + int(self.days) * DAY_US if self.days in LIFETIMES and self.days else None,
        )

    def _limits(self) -> tuple[LimitSettings, ...]:
        try:
            return LIMITS.validate_python(list(self._tables()))
        except ValidationError as error:
            first = error.errors()[0]
            field = str(first["loc"][-1]) if first["loc"] else "limits"
            raise InvalidRequest(
                f"The limit of {field} cannot be taken: {first['msg'].removeprefix('Value error, ')}.",
                hint="Write a number above zero, or leave it empty for no limit.",
                param=field,
            ) from None

    def _tables(self) -> Iterable[dict[str, object]]:
        for name, text, window in (
            ("usd", self.usd, self.usd_window),
            ("requests", self.requests, self.requests_window),
            ("tokens", self.tokens, self.tokens_window),
            ("concurrent", self.concurrent, ""),
        ):
            if text:
                table: dict[str, object] = {"per": "key", name: number(name, text)}
                yield table | ({"window": window} if window else {})


def number(name: str, text: str) -> float:
    """Raises `InvalidRequest` for what is no number."""
    plain = text.replace(",", "").replace("_", "").removeprefix("$")
    try:
        return float(plain) if name == "usd" else int(plain)
    except ValueError:
        raise InvalidRequest(
            f"{text[:40]!r} is not a limit of {name}.",
            hint="Write a number above zero, or leave it empty for no limit.",
            param=name,
        ) from None
