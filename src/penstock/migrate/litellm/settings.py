"""LiteLLM's config.yaml as a plan. Whatever is not read here ends in the list of what has no counterpart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from penstock.config.secret import Secret
from penstock.migrate.litellm.budgets import window_of
from penstock.migrate.litellm.deployments import NAME, Parameters, add_deployment, secret_of, settle_models
from penstock.migrate.litellm.document import Document
from penstock.migrate.litellm.values import Outcome, Plan

STRATEGIES = {
    "simple-shuffle": "weighted",
    "least-busy": "least_in_flight",
    "latency-based-routing": "latency",
    "usage-based-routing": "least_in_flight",
    "usage-based-routing-v2": "least_in_flight",
    "cost-based-routing": "cost",
}
CACHES = {"redis": "redis", "local": "memory", "disk": "sqlite"}
NO_COUNTERPART = "has no counterpart here"


def read_config(path: Path, plan: Plan) -> None:
    """Adds what a config.yaml says. Raises `ConfigError` for a file that cannot be read."""
    document = Document(path)
    _models(document, plan)
    _router(document, plan)
    _library(document, plan)
    _general(document, plan)
    _aliases(document, plan)
    settle_models(plan)
    for where in document.unread():
        plan.note("left out", document.place(*where), NO_COUNTERPART)


def _models(document: Document, plan: Plan) -> None:
    listed = document.look("model_list")
    for number, _ in enumerate(listed if isinstance(listed, list) else ()):
        where = ("model_list", number)
        name = str(document.take(*where, "model_name") or "")
        values = document.take(*where, "litellm_params")
        if not isinstance(values, dict):
            plan.note("left out", document.place(*where), "has no litellm_params")
            continue
        inner = (*where, "litellm_params")

        def say(outcome: Outcome, key: str, what: str, inner: tuple[str | int, ...] = inner) -> None:
            plan.note(outcome, document.place(*inner, key), what)

        if not NAME.fullmatch(name):
            say("left out", "model", f"is for {name!r}, and a model's name has no wildcards or spaces here")
            continue
        given = Parameters(name, values, plan, say)
        if add_deployment(plan, given):
            for key in given.left:
                say("left out", key, NO_COUNTERPART)
        document.take(*where, "model_info", "id")


def _router(document: Document, plan: Plan) -> None:
    def take(key: str) -> Any:
        return document.take("router_settings", key)

    models = plan.models
    chosen = take("routing_strategy")
    if chosen is not None:
        strategy = STRATEGIES.get(str(chosen))
        where = document.place("router_settings", "routing_strategy")
        if strategy is None:
            plan.note("left out", where, f"{chosen!r} {NO_COUNTERPART}; targets are chosen by weight")
        elif "usage" in str(chosen):
            plan.note("changed", where, "the target with the fewest requests in flight is the nearest to it")
        for model in models.values():
            if strategy not in (None, "weighted") and len(model["targets"]) > 1:
                model["strategy"] = strategy
    for key, own in (
        ("num_retries", "retries"),
        ("timeout", "total_seconds"),
        ("stream_timeout", "first_token_seconds"),
        ("cooldown_time", "eject_seconds"),
    ):
        _for_all(plan, own, take(key))
    if (fails := take("allowed_fails")) is not None:
        _for_all(plan, "eject_after", int(fails) + 1)
    for section in ("router_settings", "litellm_settings"):
        _fallbacks(document, plan, section)


def _for_all(plan: Plan, key: str, value: Any) -> None:
    """A setting of the router holds for every model that does not say otherwise."""
    if (not value and key != "retries") or value is None:
        return
    made = min(int(value), 10) if key == "retries" else int(value) if key == "eject_after" else float(value)
    for model in plan.models.values():
        model.setdefault(key, made)


def _aliases(document: Document, plan: Plan) -> None:
    aliases = document.take("router_settings", "model_group_alias") or {}
    for alias, meant in aliases.items():
        where = document.place("router_settings", "model_group_alias", alias)
        name = meant.get("model") if isinstance(meant, dict) else meant
        if name in plan.models and NAME.fullmatch(alias) and alias not in plan.models:
            plan.models[alias] = {
                **plan.models[name],
                "targets": [dict(each) for each in plan.models[name]["targets"]],
            }
            plan.note("changed", where, f"is a model of its own with the targets of {name!r}")
        else:
            plan.note("left out", where, f"leads to {name!r}, which is no model here")


def _fallbacks(document: Document, plan: Plan, section: str) -> None:
    named = document.look("router_settings", "model_group_alias") or {}
    aliases = {alias: meant.get("model") if isinstance(meant, dict) else meant for alias, meant in named.items()}
    for key, own in (("fallbacks", "fallback"), ("context_window_fallbacks", "longer")):
        for number, each in enumerate(document.take(section, key) or ()):
            for name, others in each.items() if isinstance(each, dict) else ():
                where = document.place(section, key, number)
                name = aliases.get(name, name)
                others = [str(aliases.get(other, other)) for other in others]
                known = [other for other in others if other in plan.models and other != name]
                for other in others:
                    if other not in known:
                        plan.note("left out", where, f"falls back to {str(other)!r}, which is no model here")
                if name not in plan.models:
                    plan.note("left out", where, f"is for {name!r}, which is no model here")
                elif own == "fallback" and known:
                    plan.models[name].setdefault(own, known)
                elif known:
                    plan.models[name].setdefault(own, known[0])
                    if len(known) > 1:
                        plan.note("changed", where, f"only {known[0]!r} is asked for what is too long here")
    default = [name for name in document.take(section, "default_fallbacks") or () if name in plan.models]
    for name, model in plan.models.items():
        others = [other for other in default if other != name and "fallback" not in plan.models[other]]
        if others and name not in default:
            model.setdefault("fallback", others)


def _library(document: Document, plan: Plan) -> None:
    def take(key: str) -> Any:
        return document.take("litellm_settings", key)

    if take("drop_params"):
        for model in plan.models.values():
            model["drop_unsupported"] = True
    _for_all(plan, "retries", take("num_retries"))
    _for_all(plan, "total_seconds", take("request_timeout"))
    budget, duration = take("max_budget"), take("budget_duration")
    if budget:
        where = document.place("litellm_settings", "max_budget")
        window = window_of(duration, lambda what: plan.note("changed", where, what))
        plan.tables.setdefault("limits", []).append({"per": "all", "usd": float(budget), "window": window})
    if take("cache"):
        _cache(document, plan)


def _cache(document: Document, plan: Plan) -> None:
    def take(key: str) -> Any:
        return document.take("litellm_settings", "cache_params", key)

    kind = str(take("type") or "local")
    store = CACHES.get(kind)
    where = document.place("litellm_settings", "cache_params", "type")
    if store is None:
        plan.note("left out", where, f"a cache of type {kind!r} {NO_COUNTERPART}")
        return
    made: dict[str, Any] = {"enabled": True, "store": store}
    if store == "redis":
        for key in ("host", "port", "password", "username", "ssl", "url"):
            take(key)
        plan.variables["REDIS_URL"] = "redis://:PASSWORD@HOST:6379/0 with the host and password of cache_params"
        plan.note("changed", where, "the server's address is in the environment variable REDIS_URL")
        made["url"] = Secret.from_env("REDIS_URL")
    if (ttl := take("ttl")) is not None:
        made["ttl_seconds"] = float(ttl)
    plan.tables["cache"] = made


def _general(document: Document, plan: Plan) -> None:
    master = document.take("general_settings", "master_key")
    if master is not None:
        where = document.place("general_settings", "master_key")
        owner = ("litellm", "master_key")
        secret = secret_of(str(master), owner, plan, lambda outcome, _, what: plan.note(outcome, where, what))
        plan.tables["keys"] = {"master": {"key": secret, "role": "owner"}}
        plan.note(
            "changed", where, "is the key of an owner; it needs 32 random characters, and a shorter one is refused"
        )
    parallel = document.take("general_settings", "global_max_parallel_requests")
    if parallel:
        plan.tables.setdefault("limits", []).append({"per": "all", "concurrent": int(parallel)})
    if document.take("general_settings", "database_url") is not None:
        where = document.place("general_settings", "database_url")
        plan.note("changed", where, "keys and teams are taken over from it: give its address to this command, too")
