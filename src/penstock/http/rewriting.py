"""A search whose question a model words anew first, where its caller wants that."""

from __future__ import annotations

import time

from msgspec.structs import replace
from starlette.requests import Request

from penstock.access.principal import require
from penstock.errors import NotFound, UnsupportedFeature
from penstock.exchange import Exchange
from penstock.gateway.services import Services
from penstock.http.routes import principal_of
from penstock.ids import new_id, new_trace_id
from penstock.knowledge.base import Query
from penstock.knowledge.rewording import other_phrasings


async def reworded(request: Request, query: Query, param: str) -> Query:
    """The query with other phrasings in a model's words, as `[app] rewrite_model` says; as it came where that fails
    or takes longer than `rewrite_seconds`.

    The call is the caller's own: it is traced, counted and limited as such. Raises `UnsupportedFeature` where there
    is no such model for the caller, and `Forbidden` for who may not call models.
    """
    services: Services = request.app.state.services
    principal = principal_of(request)
    require(principal, "developer", "Wording a question anew")
    app = services.settings.app
    try:
        services.registry.open_to(principal).get(app.rewrite_model)
    except NotFound:
        raise UnsupportedFeature(
            f"There is no model {app.rewrite_model!r} for this key to word the question anew.",
            hint=f"Add [models.{app.rewrite_model}] to penstock.toml, or send other phrasings yourself.",
            param=param,
        ) from None
    exchange = Exchange(
        id=new_id("req"),
        trace_id=new_trace_id(),
        project_id=principal.project_id,
        principal=principal,
        model=app.rewrite_model,
        deadline=time.monotonic() + services.settings.server.request_seconds,
    )
    others = await other_phrasings(services.pipeline.run, exchange, query.text, app.rewrite_seconds)
    return replace(query, queries=(*query.queries, *others))
