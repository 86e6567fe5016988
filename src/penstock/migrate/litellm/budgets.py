"""LiteLLM's budgets and rates as limits."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from penstock.config.limits import LONGEST, LimitSettings, Per, window_seconds

CALENDAR = {"1d": "day", "24h": "day", "7d": "week", "1w": "week", "30d": "month", "1mo": "month"}
"""Periods that LiteLLM begins with the calendar's, or that people mean so."""
LIFETIME = "366d"

Changed = Callable[[str], None]


def window_of(duration: object, changed: Changed) -> str:
    """The window of a budget's duration; what holds differently here is said."""
    text = str(duration or "").strip()
    if not text:
        changed("is a budget without an end, and holds for 366 days at a time here")
        return LIFETIME
    if text in CALENDAR:
        if text in ("30d", "7d"):
            changed(f"{text!r} is the {CALENDAR[text]} of the calendar (UTC) here")
        return CALENDAR[text]
    weeks = re.fullmatch(r"(\d+)(w|mo)", text)
    if weeks:
        text = f"{int(weeks[1]) * (7 if weeks[2] == 'w' else 30)}d"
    seconds = window_seconds(text)
    if seconds is None or seconds > LONGEST:
        changed(f"lasts {text!r}, and holds for 366 days at a time here")
        return LIFETIME
    changed(f"is a sliding window of {text} here")
    return text


def limits_of(row: Mapping[str, Any], per: Per, changed: Changed) -> tuple[LimitSettings, ...]:
    """The limits of a key or a team, from the columns that both have."""
    found: list[dict[str, Any]] = []
    rates = {"requests": row.get("rpm_limit"), "tokens": row.get("tpm_limit")}
    if any(rates.values()):
        found.append({key: int(value) for key, value in rates.items() if value} | {"window": "1m"})
    if row.get("tpd_limit"):
        found.append({"tokens": int(row["tpd_limit"]), "window": "day"})
    if row.get("max_parallel_requests"):
        found.append({"concurrent": int(row["max_parallel_requests"])})
    budget, soft = row.get("max_budget"), row.get("soft_budget")
    if budget is not None and budget > 0:
        made: dict[str, Any] = {"usd": float(budget), "window": window_of(row.get("budget_duration"), changed)}
        if soft and 0 < soft < budget:
            made["warn_at"] = round(soft / budget, 6)
        found.append(made)
    elif budget is not None:
        changed("has a budget of nothing, and is revoked here")
    found += of_models(row, changed)
    return tuple(LimitSettings.model_validate({"per": per, **each}) for each in found)


def of_models(row: Mapping[str, Any], changed: Changed) -> list[dict[str, Any]]:
    """Budgets and rates for single models."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for model, budget in table(row.get("model_max_budget")).items():
        given = budget if isinstance(budget, dict) else {"budget_limit": budget}
        amount = given.get("budget_limit", given.get("max_budget"))
        if amount:
            window = window_of(given.get("time_period", given.get("budget_duration")), changed)
            found[model, window] = {"model": model, "usd": float(amount), "window": window}
    metadata = table(row.get("metadata"))
    for key, amount_name in (("model_rpm_limit", "requests"), ("model_tpm_limit", "tokens")):
        for model, amount in table(metadata.get(key)).items():
            if amount:
                limit = found.setdefault((model, "1m"), {"model": model, "window": "1m"})
                limit[amount_name] = int(amount)
    return list(found.values())


def table(value: object) -> dict[str, Any]:
    """A JSON column as a dict, also where it was stored as text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return dict(value) if isinstance(value, Mapping) else {}
