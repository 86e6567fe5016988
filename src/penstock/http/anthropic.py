"""The Anthropic dialect: /v1/messages and /v1/messages/count_tokens. Its /v1/models is in `http/openai.py`."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from penstock.exchange import Exchange
from penstock.gateway.services import Services
from penstock.http import examples
from penstock.http.answering import AnswerWriter, Running
from penstock.http.openai import Endpoint, begin
from penstock.http.posts import header
from penstock.http.routes import EVENTS, ApiRoute, Description, principal_of, reply
from penstock.models.dialects.anthropic import bodies, requests
from penstock.models.dialects.anthropic.answers import AnthropicError, MessagesWriter
from penstock.models.dialects.features import droppable, unmet, without
from penstock.models.dialects.needs import uncounted, unsupported
from penstock.seams import TokenCounter

BETA = "anthropic-beta"


class TokenCount(Struct, frozen=True):
    input_tokens: int


class MessagesEndpoint(Endpoint):
    """Names the betas that the caller wants to a provider that speaks this dialect, too."""

    def read(self, scope: Scope, body: bytes, exchange: Exchange) -> Exchange:
        return super().read(scope, body, with_beta(scope, exchange))


def with_beta(scope: Scope, exchange: Exchange) -> Exchange:
    beta = header(scope, BETA.encode())
    return replace(exchange, options=exchange.options | {"headers": {BETA: beta}}) if beta else exchange


def write_message(exchange: Exchange, base: str) -> AnswerWriter:
    return MessagesWriter(exchange, base)


async def count_tokens(request: Request) -> Response:
    """The tokens of a request, counted by who would answer it: a local engine, or an API that offers to."""
    services: Services = request.app.state.services
    exchange = with_beta(request.scope, begin(request.scope, services))
    exchange = requests.read_count(await request.body(), exchange)
    target = services.registry.open_to(principal_of(request)).resolve(exchange.model, "chat")
    lacking = unmet(exchange, target)
    for need in lacking:
        if not target.drop_unsupported or not droppable(need):
            raise unsupported(repr(target.name), need)
    if lacking:
        exchange = without(exchange, lacking)
    if not isinstance(target.provider, TokenCounter):
        raise uncounted(target.name)
    return reply(TokenCount(await target.provider.count_tokens(exchange)))


def routes(running: Running) -> list[ApiRoute]:
    """The routes of the dialect; `running` knows the answers that are on their way."""
    messages = MessagesEndpoint("/v1/messages", requests.read_messages, write_message, running)
    messages_says = Description(
        role="developer",
        summary="Answers a conversation.",
        body=bodies.MessagesBody,
        example=examples.ANTHROPIC,
        answer_types=EVENTS,
        error=AnthropicError,
    )
    count_says = Description(
        role="developer",
        summary="Counts the tokens of a conversation.",
        body=bodies.MessagesBody,
        example=examples.COUNT,
        answer=TokenCount,
        error=AnthropicError,
    )
    return [
        ApiRoute("POST", messages.route, messages, messages_says),
        ApiRoute("POST", "/v1/messages/count_tokens", count_tokens, count_says),
    ]
