"""From the `[models]` of a configuration to what answers by their names.

    build_registry(settings, parts, others)

builds all of it anew, and changes nothing that runs: providers and engines whose settings are the same are used
again, with what is known of how they are. `parts.retire` then closes those that no configuration names any more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from penstock.config import ModelSettings, Settings
from penstock.config.chains import names_of
from penstock.config.models import LOCAL_ONLY, TargetSettings
from penstock.config.prices import PriceSettings
from penstock.config.routing import RouteSettings
from penstock.exchange import Operation
from penstock.gateway.machine import BusyTime, MachineTime
from penstock.gateway.pipeline import Pipeline
from penstock.gateway.prices import Dearest, Priced, price_of
from penstock.gateway.registry import ENGINE_FEATURES, Registry, Target
from penstock.gateway.routing.backend import Backend
from penstock.gateway.routing.counts import Counts
from penstock.gateway.routing.difficulty import Difficulty
from penstock.gateway.routing.health import Health
from penstock.gateway.routing.line import Line
from penstock.gateway.routing.paced import PacedProvider
from penstock.gateway.routing.policy import Policy, Process
from penstock.gateway.routing.report import routes_of
from penstock.gateway.routing.route import Route
from penstock.models.local import OnPull, local_engine
from penstock.models.providers.remote import RemoteProvider
from penstock.models.providers.vendors import RemoteSettings, Timeouts, remote_of
from penstock.seams import Engine, Provider

CHAT: frozenset[Operation] = frozenset({"chat", "complete"})
CALLERS = frozenset({"openai", "responses", "anthropic"})
"""The dialects that callers speak; bytes travel where their target speaks the same."""
LAST_FLIGHT = 0.2
"""Seconds between two looks at whether a provider that is no longer named still answers."""

Wanted = RemoteSettings | tuple[str, TargetSettings]
"""What a provider was made from: two that are equal are the same provider."""


class Pooled(Struct):
    """A provider that runs, and how it is as a target of each model."""

    wanted: Wanted
    provider: Provider
    healths: dict[str, Health]
    busy: BusyTime


class ModelParts:
    """What outlives a configuration: providers, engines, what is known of them, and the budget of retries."""

    def __init__(self, on_pull: OnPull) -> None:
        self._on_pull = on_pull
        self._pool: list[Pooled] = []
        self._counts: dict[str, Counts] = {}
        self._lines: dict[str, Line] = {}
        self.process = Process()

    def engines_of(self, registry: Registry) -> dict[str, Engine]:
        """The local engines by the name of their model, those of several targets with their number after it."""
        used = self._used(registry)
        return {
            each.wanted[0]: each.provider  # type: ignore[misc]
            for each in self._pool
            if isinstance(each.wanted, tuple) and any(id(health) in used for health in each.healths.values())
        }

    def _used(self, registry: Registry) -> set[int]:
        return {id(backend.health) for route in routes_of(registry) for backend in route.backends}

    def pooled(self, wanted: Wanted) -> Pooled:
        """The provider for these settings: the one that runs, or a new one. Raises `ConfigError`."""
        for each in self._pool:
            if each.wanted == wanted:
                return each
        provider: Provider
        if isinstance(wanted, RemoteSettings):
            provider = RemoteProvider(wanted)
        else:
            provider = local_engine(wanted[1].use, wanted[1], self._on_pull)
        self._pool.append(Pooled(wanted, provider, {}, BusyTime()))
        return self._pool[-1]

    def line(self, name: str) -> Line:
        return self._lines.setdefault(name, Line())

    def counts(self, name: str) -> Counts:
        return self._counts.setdefault(name, Counts())

    async def retire(self, registry: Registry, older: Sequence[Pipeline] = ()) -> None:
        """Closes every provider that `registry` does not use, each after its last answer.

        The requests in the pipelines of `older` configurations may ask them again until they end.
        """
        used = self._used(registry)
        idle = [each for each in self._pool if not any(id(health) in used for health in each.healths.values())]
        self._pool = [each for each in self._pool if each not in idle]
        try:
            while any(pipeline.running for pipeline in older):  # noqa: ASYNC110
                await asyncio.sleep(LAST_FLIGHT)
            while any(health.in_flight for each in idle for health in each.healths.values()):  # noqa: ASYNC110
                await asyncio.sleep(LAST_FLIGHT)
        finally:
            for each in idle:
                await each.provider.close()

    async def close(self) -> None:
        for each in self._pool:
            await each.provider.close()
        self._pool.clear()


def build_registry(settings: Settings, parts: ModelParts, others: Iterable[Target] = ()) -> Registry:
    """Everything that can be asked: `others`, then the models of the configuration. Raises `ConfigError`.

    A model is asked by its name here and, where it is a single one, by what it uses. Models that only a fallback
    names are routes of their own, and cannot be asked.
    """
    routes = Routes(settings, parts)
    registry = Registry(others)
    now = int(time.time())
    for name, model in settings.models.items():
        target = target_of(name, model, routes.of(name), now)
        registry.add(target)
        if model.use and model.use not in registry:
            registry.add(msgspec.structs.replace(target, name=model.use))
    return registry


class Routes:
    """The routes of one configuration, each made when it is first named."""

    def __init__(self, settings: Settings, parts: ModelParts) -> None:
        self._models = settings.models
        self._names = names_of(settings.models)
        self._prices = settings.prices
        self._parts = parts
        self._made: dict[str, Route] = {}

    def of(self, name: str) -> Route:
        """The route of a model by any of its names, or of `provider/model`. No way leads in a circle here."""
        name = self._names.get(name, name)
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = self._make(name, self._models.get(name) or ModelSettings(use=name))
        return made

    def _make(self, name: str, model: ModelSettings) -> Route:
        backends = tuple(
            backend(place, target, Around(model, self._parts, self._prices.get(target.use)))
            for place, target in places(name, model.backends)
        )
        route = Route(name, backends, Policy.of(model), self._parts.process)
        route.counts = self._parts.counts(name)
        route.stand(self._parts.line(name))
        route.fallbacks = tuple(self.of(other) for other in model.fallback)
        route.longer = self.of(model.longer) if model.longer else None
        route.difficulty = (
            Difficulty(model.difficulty, self.of(model.difficulty.easy)) if model.difficulty else None
        )
        return route


class Around(Struct, frozen=True):
    """What stands around a target: the settings of its route, what is pooled, and a price of the configuration."""

    route: RouteSettings
    parts: ModelParts
    price: PriceSettings | None


class Place(Struct, frozen=True):
    """Where a target stands: in which model, and what it is called there."""

    model: str
    engine: str
    name: str


def places(model: str, targets: tuple[TargetSettings, ...]) -> Iterator[tuple[Place, TargetSettings]]:
    """Each target with a name of its own: `vllm/llama@10.0.0.7:8000` where replicas share one."""
    taken: set[str] = set()
    uses = [target.use for target in targets]
    for number, target in enumerate(targets):
        name = target.use
        if uses.count(name) > 1 and target.base_url:
            name = f"{name}@{urlsplit(target.base_url).netloc}"
        if name in taken:
            name = f"{name}#{number + 1}"
        taken.add(name)
        yield Place(model, model if len(targets) == 1 else f"{model}-{number + 1}", name), target


def backend(place: Place, target: TargetSettings, around: Around) -> Backend:
    """One target of a model. Raises `ConfigError`."""
    route, parts, own = around.route, around.parts, around.price
    if target.remote:
        wanted = msgspec.structs.replace(remote_of(target), timeouts=timeouts_of(route))
        pooled = parts.pooled(wanted)
        assert isinstance(pooled.provider, RemoteProvider)
        profile = wanted.profile
        made = Backend(place.name, pooled.provider, profile.operations)
        made.forwards = pooled.provider.dialects & CALLERS
        made.features = profile.features
        made.lacks = profile.lacks
        made.price = price_of(wanted.vendor.prices, target.model, own)
    else:
        pooled = parts.pooled((place.engine, local_part(target)))
        first, between = route.first_token_seconds, route.between_tokens_seconds
        paced = PacedProvider(pooled.provider, first, between) if first or between else pooled.provider
        made = Backend(place.name, paced, CHAT)
        made.features = ENGINE_FEATURES
        made.free = own is None
        made.price = price_of("", target.use, own)
    made.health = pooled.healths.setdefault(f"{place.model} {place.name}", Health())
    if own is not None and own.per_gpu_hour is not None:
        made.provider = MachineTime(made.provider, own.per_gpu_hour * (own.gpus or 1), pooled.busy)
    made.weight = target.weight
    made.limit = target.max_in_flight
    return made


def local_part(target: TargetSettings) -> TargetSettings:
    """The settings of an engine, without those of the route around it."""
    own = {key: getattr(target, key) for key in ("use", *LOCAL_ONLY)}
    return TargetSettings(**own)


def timeouts_of(route: RouteSettings) -> Timeouts:
    usual = Timeouts()
    return Timeouts(
        connect=route.connect_seconds or usual.connect,
        first_token=route.first_token_seconds or usual.first_token,
        between_tokens=route.between_tokens_seconds or usual.between_tokens,
    )


def target_of(name: str, model: ModelSettings, route: Route, created: int) -> Target:
    return Target(
        name=name,
        kind="model",
        provider=route,
        operations=route.operations,
        features=route.features,
        forwards=route.forwards,
        lacks=route.lacks,
        drop_unsupported=model.drop_unsupported,
        owned_by=model.provider or "penstock",
        price=price_before(route),
        served_by="" if route.chooses else route.backends[0].name,
        created=created,
    )


def price_before(route: Route) -> Priced | None:
    """What a request may cost while its target is not chosen; `None` where that of one is not known."""
    prices = [each.price for each in route.backends if not each.free]
    known = [each for each in prices if each is not None]
    if not known or len(known) != len(prices):
        return None
    return known[0] if len(known) == 1 else Dearest(known)
