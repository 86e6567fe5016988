"""/api/v1/cache: what the cache holds and did, and clearing it."""

from __future__ import annotations

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from penstock.access.principal import require_local
from penstock.audit.record import Event
from penstock.errors import NotFound
from penstock.gateway.cache.answers import AnswerCache
from penstock.gateway.cache.base import StoreStats
from penstock.gateway.cache.semantic import SemanticCalibration, calibration
from penstock.gateway.services import Services
from penstock.http.acting import record
from penstock.http.routes import ApiRoute, Description, principal_of, reply


class SemanticState(Struct, frozen=True, kw_only=True):
    """Comparison by meaning. `calibration` is what was measured for `calibration.threshold`."""

    threshold: float
    questions: int
    calibration: SemanticCalibration


class CacheState(Struct, frozen=True, kw_only=True):
    """The cache of the whole server. `requests` counts since its start, by what the cache did for them."""

    store: str
    held: StoreStats
    requests: dict[str, int]
    in_flight: int
    semantic: SemanticState | None = None


class Cleared(Struct, frozen=True):
    """The project whose answers are forgotten."""

    project: str


def cache_of(request: Request) -> AnswerCache:
    services: Services = request.app.state.services
    if services.cache is None:
        raise NotFound("The cache is off.", hint="Set enabled = true under [cache] in penstock.toml.")
    return services.cache


async def get_cache(request: Request) -> Response:
    require_local(principal_of(request), "Reading the state of the cache")
    cache = cache_of(request)
    services: Services = request.app.state.services
    semantic = None
    if cache.semantic is not None:
        semantic = SemanticState(
            threshold=cache.semantic.threshold, questions=len(cache.semantic), calibration=calibration()
        )
    state = CacheState(
        store=services.settings.cache.store,
        held=cache.store.stats(),
        requests=cache.results,
        in_flight=len(cache.flights),
        semantic=semantic,
    )
    return reply(state)


async def clear_cache(request: Request) -> Response:
    project = principal_of(request).project_id
    cache = cache_of(request)
    await record(request, Event(action="cache.cleared", target=project, project_id=project))
    await cache.clear(project)
    return reply(Cleared(project))


ROUTES = [
    ApiRoute(
        "GET",
        "/api/v1/cache",
        get_cache,
        Description(summary="What the cache holds, and how often it answered.", role="viewer", answer=CacheState),
    ),
    ApiRoute(
        "DELETE",
        "/api/v1/cache",
        clear_cache,
        Description(summary="Forgets the project's answers.", role="admin", answer=Cleared),
    ),
]
