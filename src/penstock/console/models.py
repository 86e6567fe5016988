"""The models: who answers for each, how they are, what they cost; an admin takes targets out and puts them back."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from penstock.access.principal import at_least
from penstock.access.routes import principal_of
from penstock.console import formats
from penstock.console.rendering import View, page_route, render
from penstock.exchange import LOCAL_PROJECT
from penstock.gateway.rates import Rates, rates
from penstock.gateway.registry import Registry, Target
from penstock.gateway.routing.backend import Backend
from penstock.gateway.routing.report import ModelReport, TargetReport, report, routes_of
from penstock.gateway.routing.route import Route
from penstock.gateway.services import Services

MODELS = View("models.html", "Models", "live")
EVERY_SECONDS = 5
STRATEGIES = {
    "weighted": "by weight",
    "least_in_flight": "least in flight",
    "latency": "lowest latency",
    "cost": "lowest cost",
    "prefix": "same beginning, same target",
}


class TargetLine(Struct, frozen=True, kw_only=True):
    """One target. `why` says what its state means; `act` is the address that changes it, "" for who may not."""

    report: TargetReport
    rates: Rates
    why: str
    failures: str
    act: str
    out: bool


class ModelLine(Struct, frozen=True, kw_only=True):
    """One model with its targets. `facts` say how it chooses and what happens when that fails."""

    name: str
    other_names: tuple[str, ...]
    facts: tuple[tuple[str, str, str], ...]
    targets: tuple[TargetLine, ...]


class PlainLine(Struct, frozen=True, kw_only=True):
    """What can be asked and has no targets to look at, or none for this principal."""

    name: str
    kind: str
    operations: str
    rates: Rates


class ModelsPage(Struct, frozen=True, kw_only=True):
    title: str
    models: tuple[ModelLine, ...]
    plain: tuple[PlainLine, ...]
    budget: str
    may_change: bool
    every: int


async def show(request: Request) -> Response:
    services: Services = request.app.state.services
    principal = principal_of(request)
    registry = services.registry
    whole = principal.project_id == LOCAL_PROJECT and not principal.models
    may_change = whole and at_least(principal, "admin")
    page = ModelsPage(
        title="Models",
        models=tuple(model_lines(registry, may_change=may_change)) if whole else (),
        plain=tuple(plain_lines(registry.open_to(principal), whole=whole)),
        budget=budget_of(registry) if whole else "",
        may_change=may_change,
        every=EVERY_SECONDS,
    )
    return render(request, MODELS, page)


def model_lines(registry: Registry, *, may_change: bool) -> Iterable[ModelLine]:
    for route, found in zip(routes_of(registry), report(registry).data, strict=True):
        yield ModelLine(
            name=found.name,
            other_names=tuple(name for name in found.names if name != found.name),
            facts=tuple(facts(found)),
            targets=tuple(
                target_line(route, backend, each, may_change=may_change)
                for backend, each in zip(route.backends, found.targets, strict=True)
            ),
        )


def facts(model: ModelReport) -> Iterable[tuple[str, str, str]]:
    """Name, value and meaning."""
    if len(model.targets) > 1:
        yield "Chooses", STRATEGIES.get(model.strategy, model.strategy), "How a target is picked for each request."
    if model.fallback:
        yield "Falls back to", ", ".join(model.fallback), "Asked in this order when no target of its own answers."
    if model.longer:
        yield "Longer", model.longer, "Asked for requests that do not fit into the context."
    if model.difficulty is not None:
        easy = model.difficulty
        yield (
            "Easy questions",
            f"{formats.share(easy.share)} to {easy.easy_model}, saved {formats.cost(easy.saved_nanos)}",
            "The share that was sent to the smaller model, and what those requests did not cost.",
        )
    further = (
        ("Retries", model.retries, "Further attempts after one failed, since the start."),
        ("Fallbacks", model.fallbacks, "Requests that another model took over, since the start."),
        ("Hedges", model.hedges, "Second attempts because the first was slow, since the start."),
    )
    for name, number, meaning in further:
        if number:
            yield name, formats.count(number), meaning


def target_line(route: Route, backend: Backend, target: TargetReport, *, may_change: bool) -> TargetLine:
    out = target.state in ("held", "ejected", "probing")
    act = f"/api/v1/models/{quote(route.name)}/targets/{target.number}/{'restore' if out else 'eject'}"
    failures = sorted(target.failed.items(), key=lambda item: -item[1])
    return TargetLine(
        report=target,
        rates=rates(backend.price),
        why=why(target),
        failures=", ".join(f"{formats.count(number)} {formats.words(kind)}" for kind, number in failures),
        act=act if may_change else "",
        out=out,
    )


def why(target: TargetReport) -> str:
    """What the state of a target means."""
    if target.state == "held":
        return "taken out by hand, until it is put back"
    if target.state == "ejected":
        return f"left out after failures, tried again in {formats.seconds(target.probe_in)}"
    if target.state == "probing":
        return "one request tries whether it is well again"
    return "it asked for a pause" if target.state == "resting" else ""


def plain_lines(registry: Registry, *, whole: bool) -> Iterable[PlainLine]:
    for target in registry:
        if not whole or not isinstance(target.provider, Route):
            yield PlainLine(
                name=target.name, kind=target.kind, operations=operations(target), rates=rates(target.price)
            )


def operations(target: Target) -> str:
    return ", ".join(formats.words(each) for each in sorted(target.operations))


def budget_of(registry: Registry) -> str:
    """How much of the process's further attempts is used."""
    budget = report(registry).budget
    if budget is None or not budget.denied:
        return ""
    return (
        f"{formats.count(budget.denied)} further attempts were not made since the start, so that providers in "
        "trouble are not asked more often than usual."
    )


def routes() -> list[BaseRoute]:
    return [page_route("/models", show, role="viewer")]
