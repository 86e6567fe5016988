"""POST /api/v1/traces/{trace_id}/why: the question of a trace, answered again with each passage left out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from penstock.errors import InvalidRequest, NotFound
from penstock.exchange import Exchange, Message, Principal
from penstock.gateway.services import Services
from penstock.http.routes import ApiRoute, Description, principal_of, reply
from penstock.ids import new_id, new_trace_id
from penstock.knowledge.answer import GroundedApp
from penstock.knowledge.why import Explained, Influence, explain
from penstock.traces.span import TraceDetail

MESSAGES = "gen_ai.input.messages"


class WhyAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer's passages, the one that it hangs on most first; it hangs on the first `hangs_on` of them.
    `searched` are the words of all searches for it.

    Where `same_release` or `same_generation` is false, what is told is of the answer as it would be given today.
    """

    trace_id: str
    question: str
    answer: str
    answered: bool
    probability: float
    release_id: str
    same_release: bool
    generation: int
    same_generation: bool
    searched: tuple[str, ...]
    hangs_on: int
    passages: tuple[Influence, ...]


async def why(request: Request) -> Response:
    services: Services = request.app.state.services
    return reply(await why_of(services, principal_of(request), request.path_params["trace_id"]))


async def why_of(services: Services, principal: Principal, trace_id: str) -> WhyAnswer:
    """Raises `NotFound` for what is not the principal's, `InvalidRequest` for a trace without text or documents."""
    detail = await services.traces.get(trace_id, principal.project_id)
    if detail is None:
        raise NotFound(
            f"There is no trace {trace_id[:64]!r}.",
            hint="List them at /api/v1/traces; those older than the retention are deleted.",
            param="trace_id",
        )
    target = services.registry.open_to(principal).get(detail.trace.model)
    app = target.provider
    if not isinstance(app, GroundedApp):
        raise InvalidRequest(
            f"Trace {trace_id} was answered by {detail.trace.model!r}, which answers from no documents.",
            hint="Ask about a trace of an app.",
            param="trace_id",
        )
    exchange = Exchange(
        id=new_id("req"),
        trace_id=new_trace_id(),
        project_id=principal.project_id,
        principal=principal,
        purpose="replay",
        model=detail.trace.model,
        messages=messages_of(detail),
        release_id=target.release_id,
        deadline=time.monotonic() + services.settings.server.request_seconds,
    )
    return told(detail, target.release_id, await explain(app, exchange, detail.trace.generation))


def told(detail: TraceDetail, release_id: str, explained: Explained) -> WhyAnswer:
    return WhyAnswer(
        trace_id=detail.trace.id,
        question=explained.question,
        answer=explained.answer,
        answered=explained.answered,
        probability=explained.probability,
        release_id=release_id,
        same_release=release_id == detail.trace.release_id,
        generation=explained.generation,
        same_generation=explained.generation == detail.trace.generation,
        searched=explained.searched,
        hangs_on=len(explained.hangs_on),
        passages=explained.passages,
    )


def messages_of(detail: TraceDetail) -> tuple[Message, ...]:
    """The conversation that a trace recorded. Raises `InvalidRequest` where it recorded no text."""
    root = next((span for span in detail.spans if span.parent_id is None), None)
    recorded = root.values().get(MESSAGES) if root is not None else None
    messages = tuple(
        Message(str(each.get("role", "user")), text_of(each.get("parts")))
        for each in (recorded if isinstance(recorded, list) else ())
        if isinstance(each, dict)
    )
    if not any(message.text for message in messages):
        raise InvalidRequest(
            f"Trace {detail.trace.id} has no question: no text was recorded.",
            hint="Set content = true under [traces] in penstock.toml, and ask the question again.",
            param="trace_id",
        )
    return messages


def text_of(parts: Sequence[Mapping[str, Any]] | None) -> str:
    return "\n".join(str(part.get("content", "")) for part in parts or ())


ROUTES = [
    ApiRoute(
        "POST",
        "/api/v1/traces/{trace_id}/why",
        why,
        Description(
            role="developer",
            summary="Answers a trace's question again with each passage left out.",
            answer=WhyAnswer,
        ),
    ),
]
