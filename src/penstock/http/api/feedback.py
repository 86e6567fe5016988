"""POST /api/v1/feedback: what somebody thought of an answer."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from penstock.http.api.traces import store_of
from penstock.http.routes import ApiRoute, Description, principal_of, read_json, reply
from penstock.traces.span import Feedback

THUMBS = {"up": 1.0, "down": -1.0}


class FeedbackBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`trace_id` stands in every answer (`penstock.trace_id`, header `x-penstock-trace-id`).

    `score` is -1 (bad) to 1 (good), or a thumb. `name` says what is judged; there is one score per trace, name
    and user, and giving it again replaces it.
    """

    trace_id: Annotated[str, Meta(min_length=1, max_length=64)]
    score: Annotated[float, Meta(ge=-1, le=1)] | Literal["up", "down"]
    comment: Annotated[str, Meta(max_length=4000)] | None = None
    name: Annotated[str, Meta(min_length=1, max_length=64)] = "thumbs"
    user: Annotated[str, Meta(max_length=256)] = ""


async def give_feedback(request: Request) -> Response:
    body = await read_json(request, FeedbackBody)
    given = Feedback(
        trace_id=body.trace_id,
        score=THUMBS[body.score] if isinstance(body.score, str) else body.score,
        comment=body.comment,
        name=body.name,
        user=body.user,
    )
    return reply(await store_of(request).add_feedback(principal_of(request).project_id, given))


ROUTES = [
    ApiRoute(
        "POST",
        "/api/v1/feedback",
        give_feedback,
        Description(role="developer", summary="Attaches a score to an answer.", body=FeedbackBody, answer=Feedback),
    )
]
