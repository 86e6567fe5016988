"""POST /api/v1/knowledge/{name}/calibrate: when to say that the documents do not say, fitted on questions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from penstock.clock import SYSTEM_CLOCK
from penstock.errors import ConfigError, InvalidRequest, NotFound
from penstock.exchange import Exchange, Principal
from penstock.gateway.services import Services
from penstock.http.api.knowledge import ONE, own_base_of
from penstock.http.routes import ApiRoute, Description, principal_of, read_json, reply
from penstock.ids import new_id, new_trace_id
from penstock.knowledge.answer import GroundedApp
from penstock.knowledge.calibrating import Fitted, Golden, calibrate

MOST = 1_000


class Questions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Questions that the documents answer, each is also asked without `documents`, and others that they do not."""

    questions: Annotated[tuple[Golden, ...], msgspec.Meta(min_length=1, max_length=MOST)]


async def fit_threshold(request: Request) -> Response:
    services: Services = request.app.state.services
    name = own_base_of(request).name
    body = await read_json(request, Questions)
    try:
        return reply(await fitted(services, principal_of(request), name, body.questions))
    except ConfigError as error:
        raise InvalidRequest(error.message, hint=error.hint, param="questions") from None


async def fitted(services: Services, principal: Principal, name: str, questions: Sequence[Golden]) -> Fitted:
    """Asks an app its questions. Raises `ConfigError` for too few, `NotFound` where no app answers from there."""
    target = services.registry.open_to(principal).get(services.app_name)
    app = target.provider
    if not isinstance(app, GroundedApp) or app.knowledge.name != name:
        raise NotFound(f"No app answers from knowledge {name!r} here.", hint="Serve an app with `penstock up`.")
    exchange = Exchange(
        id=new_id("req"),
        trace_id=new_trace_id(),
        project_id=principal.project_id,
        principal=principal,
        purpose="eval",
        model=services.app_name,
        release_id=target.release_id,
        deadline=time.monotonic() + len(questions) * services.settings.server.request_seconds,
    )
    return await calibrate(app, questions, exchange, SYSTEM_CLOCK.now_us())


ROUTES = [
    ApiRoute(
        "POST",
        ONE + "/calibrate",
        fit_threshold,
        Description(
            role="admin",
            summary="Fits when to say that the documents do not say; nothing is changed by it.",
            body=Questions,
            answer=Fitted,
        ),
    ),
]
