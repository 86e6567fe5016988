"""LiteLLM's keys and teams as keys and projects. A key stays what it is for who has it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from penstock.access.principal import permits
from penstock.access.projects import PROJECT_ID
from penstock.access.values import Key, StoredKey
from penstock.exchange import LOCAL_PROJECT
from penstock.migrate.litellm.budgets import limits_of, table
from penstock.migrate.litellm.deployments import VENDORS, Parameters, add_deployment, settle_models
from penstock.migrate.litellm.repository import KEYS, MODELS, TEAMS, Row, Rows
from penstock.migrate.litellm.values import Outcome, Plan, TakenKey, Team

DIGEST = re.compile(r"[0-9a-f]{64}")
EVERY_MODEL = ("all-proxy-models", "*")
TEAM_MODELS = "all-team-models"
NO_MODELS = "no-default-models"
NOTHING = ("-",)
"""A pattern that no model's name matches."""
ROUTES = {"llm_api_routes": "/v1/*", "openai_routes": "/v1/*", "info_routes": "/v1/models*"}
READ = frozenset(
    (
        *(
            "token",
            "key_name",
            "key_alias",
            "models",
            "team_id",
            "allowed_routes",
            "blocked",
            "expires",
            "metadata",
        ),
        *(
            "spend",
            "max_budget",
            "soft_budget",
            "budget_duration",
            "budget_reset_at",
            "budget_id",
            "model_max_budget",
        ),
        *("tpm_limit", "rpm_limit", "tpd_limit", "max_parallel_requests", "team_alias", "model_id"),
        *("created_at", "created_by", "updated_at", "updated_by", "settings_updated_at", "last_active"),
        *("total_spend", "model_spend", "soft_budget_cooldown", "rotation_count", "last_rotation_at"),
    )
)
"""Columns that are read, or that say nothing of rights."""


def read_rows(rows: Rows, plan: Plan, now_us: int) -> None:
    """Adds what a database holds."""
    _models(rows, plan)
    budgets = {row["budget_id"]: row for row in rows.budgets}
    projects: dict[str, Team] = {}
    taken: set[str] = {LOCAL_PROJECT}
    for row in rows.teams:
        team = _team(row, taken, plan, now_us)
        taken.add(team.project_id)
        projects[row["team_id"]] = team
        plan.teams.append(team)
    for row in rows.keys:
        budget = budgets.get(row.get("budget_id") or "", {})
        merged = {
            **row,
            **{key: value for key, value in budget.items() if value is not None and row.get(key) is None},
        }
        if (key := _key(merged, projects, plan, now_us)) is not None:
            plan.keys.append(key)
    for name, number in rows.others.items():
        plan.note("left out", name, f"{number} rows: nothing here corresponds to them")


def _models(rows: Rows, plan: Plan) -> None:
    known = set(plan.models)
    for row in rows.models:
        where = f"{MODELS} {row['model_name']}"
        values = table(row["litellm_params"])
        model = str(values.get("model", ""))

        def say(outcome: Outcome, key: str, what: str, where: str = where) -> None:
            plan.note(outcome, f"{where} {key}", what)

        plain = model.partition("/")[0] in VENDORS or model.startswith(("gpt-", "claude-", "o1", "o3", "o4"))
        if row["model_name"] in known:
            say("left out", "", "the configuration has a model of that name")
        elif not plain:
            say("left out", "", "its parameters are encrypted with LiteLLM's salt key: add it to penstock.toml")
        else:
            for key in [key for key in values if key.endswith(("key", "token", "secret"))]:
                values[key] = f"os.environ/{VENDORS.get(model.partition('/')[0], 'openai').upper()}_API_KEY"
                say("changed", key, f"is encrypted in the database; put it into the variable {values[key][11:]}")
            add_deployment(plan, Parameters(row["model_name"], values, plan, say))
    fresh = {name: model for name, model in plan.models.items() if name not in known}
    aside = Plan(tables={"models": fresh})
    settle_models(aside)
    plan.models.update(aside.models)


def _team(row: Row, taken: Collection[str], plan: Plan, now_us: int) -> Team:
    alias = row.get("team_alias") or ""
    where = f"{TEAMS} {alias or row['team_id']}"
    short = re.sub(r"[^A-Za-z0-9_-]+", "-", alias).strip("-_").lower()[:64]
    project_id = next(
        (each for each in (short, row["team_id"], f"{short or 'team'}-{len(taken)}") if fits(each, taken)), ""
    )
    _unread(row, where, plan, ("team_id", "members_with_roles", "members", "admins"))
    if row.get("members_with_roles") not in (None, [], {}):
        plan.note("left out", f"{where} members", "people sign in by [access.oidc] here, and rules give them roles")
    if row.get("models"):
        plan.note("changed", f"{where} models", "holds for the keys that are taken over; new keys need --model")
    return Team(
        project_id=project_id,
        title=(alias or row["team_id"])[:200],
        limits=limits_of(row, "project", lambda what: plan.note("changed", where, what)),
        models=models_of(row.get("models") or (), ()),
        is_blocked=bool(row.get("blocked")),
        spent=spent(row, now_us),
    )


def spent(row: Row, now_us: int) -> float:
    """Dollars of the running budget; what was spent before its last reset, which LiteLLM has yet to do, is over."""
    reset = microseconds(row.get("budget_reset_at"))
    return 0.0 if reset is not None and reset <= now_us else float(row.get("spend") or 0.0)


def fits(project_id: str, taken: Collection[str]) -> bool:
    return PROJECT_ID.fullmatch(project_id) is not None and project_id not in taken


def _key(row: Row, projects: Mapping[str, Team], plan: Plan, now_us: int) -> TakenKey | None:
    token = str(row["token"])
    name = (row.get("key_alias") or row.get("key_name") or f"litellm {token[:8]}").strip()[:100]
    where = f"{KEYS} {name}"
    if not DIGEST.fullmatch(token):
        plan.note(
            "left out", where, "its row holds no SHA-256 of a key; make a new one with `penstock keys create`"
        )
        return None
    team = projects.get(row.get("team_id") or "")
    if row.get("team_id") and team is None:
        plan.note("left out", where, f"belongs to the team {row['team_id']!r}, which is not there")
        return None
    if NO_MODELS in (row.get("models") or ()):
        plan.note("left out", where, "may ask no model of its own, only those of its user")
        return None
    _unread(row, where, plan)
    for model in row.get("models") or ():
        if (
            plan.models
            and model not in (TEAM_MODELS, *EVERY_MODEL)
            and not any(permits((model,), n) for n in plan.models)
        ):
            plan.note("left out", f"{where} models", f"{model!r} is no model here, nor a pattern of one")
    if row.get("user_id") not in (None, "", "default_user_id"):
        plan.note("left out", f"{where} user_id", f"the budget of the user {row['user_id']!r} does not hold for it")
    if row.get("soft_budget") and not row.get("max_budget"):
        plan.note("left out", f"{where} soft_budget", "warns of no limit")
    empty = row.get("max_budget") is not None and row["max_budget"] <= 0
    key = Key(
        id=f"key_litellm_{token[:24]}",
        name=name,
        prefix=(row.get("key_name") or "sk-…")[:16],
        project_id=team.project_id if team else LOCAL_PROJECT,
        models=models_of(row.get("models") or (), team.models if team else ()),
        routes=routes_of(row.get("allowed_routes") or (), where, plan),
        limits=limits_of(row, "key", lambda what: plan.note("changed", where, what)),
        created_by="litellm",
        created_us=microseconds(row.get("created_at")) or now_us,
        expires_us=microseconds(row.get("expires")),
        revoked_us=now_us if row.get("blocked") or empty else None,
    )
    stored = StoredKey(key, bytes.fromhex(token), "sha256")
    return TakenKey(stored, spent(row, now_us))


def models_of(listed: Collection[str], of_team: tuple[str, ...]) -> tuple[str, ...]:
    """The models that may be asked; none is all, as in LiteLLM. A key of a team never has more than the team."""
    if not listed or set(listed) & {TEAM_MODELS, *EVERY_MODEL}:
        return of_team
    return tuple(dict.fromkeys(each for each in listed if permits(of_team, each))) or NOTHING


def routes_of(listed: Collection[str], where: str, plan: Plan) -> tuple[str, ...]:
    found = []
    for route in listed:
        if route.startswith("/"):
            found.append(route if route.startswith("/v1/") else f"/v1{route}")
        elif route in ROUTES:
            found.append(ROUTES[route])
        else:
            plan.note("left out", f"{where} allowed_routes", f"{route!r} has no counterpart here")
    if listed and not found:
        return ("/nothing",)
    return tuple(dict.fromkeys(found))


def _unread(row: Row, where: str, plan: Plan, own: Collection[str] = ()) -> None:
    """Says of each column that holds something and is not read that it is left out."""
    for column, value in row.items():
        if column in READ or column in own or column == "user_id":
            continue
        if value not in (None, "", False, 0, [], {}, "{}", "[]", "default", "llm_api"):
            plan.note("left out", f"{where} {column}", "has no counterpart here")
    for key in table(row.get("metadata")):
        if key not in ("model_rpm_limit", "model_tpm_limit"):
            plan.note("left out", f"{where} metadata.{key}", "has no counterpart here")


def microseconds(moment: Any) -> int | None:
    """LiteLLM's columns are UTC without saying so."""
    if not isinstance(moment, datetime):
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(aware.timestamp() * 1e6)
