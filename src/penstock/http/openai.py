"""The OpenAI dialect: /v1/models, /v1/chat/completions, /v1/completions and /v1/embeddings."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from penstock.errors import PenstockError
from penstock.exchange import Exchange, Principal
from penstock.gateway.cache.control import DIRECTIVES, read_directives
from penstock.gateway.registry import Target
from penstock.gateway.services import Services
from penstock.http import examples, models
from penstock.http.answering import CLIENT_LEFT, Answering, AnswerWriter, Running, measure
from penstock.http.bodies import ClientLeft, read_body
from penstock.http.connection import direct
from penstock.http.errors import as_penstock, dialect_of, response_of, status_of
from penstock.http.gate import HEADERS
from penstock.http.routes import EVENTS, ApiRoute, Description, principal_of, read_query, reply
from penstock.ids import new_id, new_trace_id
from penstock.models.dialects.openai import answers, bodies, requests

Read = Callable[[bytes, Exchange], Exchange]
Write = Callable[[Exchange, str], AnswerWriter]

SESSION_HEADER = b"x-penstock-session"


class Endpoint:
    """One operation of the dialect as an ASGI app: reads a body, flies it, writes the answer."""

    def __init__(self, route: str, read: Read, write: Write, running: Running) -> None:
        self.route = route
        self._read = read
        self._write = write
        self._running = running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        beside = direct(scope, receive)
        body = beside.body() if beside is not None else None
        state = scope["app"].state
        services: Services = state.services
        try:
            if body is None:
                body = await read_body(receive)
                services = state.services  # which may be others, after so long
            exchange = self.read(scope, body, begin(scope, services))
        except ClientLeft:
            measure(services.meter, self.route, CLIENT_LEFT, None)
            return
        except Exception as unexpected:
            error: PenstockError = as_penstock(unexpected)
            measure(services.meter, self.route, status_of(error), None)
            await response_of(error)(scope, receive, send)
            return
        flight = services.pipeline.run(exchange)
        answering = Answering(
            flight, lambda resolved: self._write(resolved, base_url(scope)), self._running, beside
        )
        try:
            await answering.deliver(receive, send)
        finally:
            measure(services.meter, self.route, answering.status, flight, answering.sent)

    def read(self, scope: Scope, body: bytes, exchange: Exchange) -> Exchange:
        """The exchange with what the body says. Raises `InvalidRequest`."""
        return self._read(body, exchange)


def begin(scope: Scope, services: Services) -> Exchange:
    """An exchange with what does not come from the body."""
    options: dict[str, Any] = {}
    if session := header(scope, SESSION_HEADER)[:200]:
        options["session"] = session
    if services.cache is not None and (directives := read_directives(scope[HEADERS])) is not None:
        options[DIRECTIVES] = directives
    principal: Principal = scope["principal"]
    return Exchange(
        id=new_id("req"),
        trace_id=new_trace_id(),
        deadline=time.monotonic() + services.settings.server.request_seconds,
        options=options,
        principal=principal,
        project_id=principal.project_id,
    )


def base_url(scope: Scope) -> str:
    """This server's own address, as the client named it (the guard has checked it)."""
    return f"{scope['scheme']}://{header(scope, b'host')}"


def header(scope: Scope, wanted: bytes) -> str:
    """A header's value, "" where the request has none."""
    value: bytes = scope[HEADERS].get(wanted, b"")
    return value.decode("latin-1")


def write_chat(exchange: Exchange, base: str) -> AnswerWriter:
    heading = answers.heading(exchange, int(time.time()), base)
    return answers.ChatWriter(heading, wants_usage=exchange.wants_usage)


def write_completion(exchange: Exchange, base: str) -> AnswerWriter:
    heading = answers.heading(exchange, int(time.time()), base)
    return answers.CompletionWriter(heading, wants_usage=exchange.wants_usage)


def write_embeddings(exchange: Exchange, base: str) -> AnswerWriter:
    return answers.EmbeddingsWriter(exchange)


class ModelWire(Struct, frozen=True):
    """One name that can be asked; `kind` and `operations` are Penstock's own."""

    id: str
    created: int
    owned_by: str
    kind: str
    operations: list[str]
    release: str
    object: str = "model"


class ModelList(Struct, frozen=True):
    data: list[ModelWire]
    object: str = "list"


def model_wire(target: Target) -> ModelWire:
    return ModelWire(
        target.name, target.created, target.owned_by, target.kind, sorted(target.operations), target.release_id
    )


async def list_models(request: Request) -> Response:
    """Clients of Anthropic's API ask at the same address, and get its form."""
    services: Services = request.app.state.services
    registry = services.registry.open_to(principal_of(request))
    if dialect_of(request.scope) == "anthropic":
        return reply(models.page(list(registry), read_query(request, models.PageQuery)))
    return reply(ModelList([model_wire(target) for target in registry]))


async def get_model(request: Request) -> Response:
    services: Services = request.app.state.services
    registry = services.registry.open_to(principal_of(request))
    if dialect_of(request.scope) == "anthropic":
        return reply(models.model_info(registry.get(request.path_params["name"])))
    return reply(model_wire(registry.get(request.path_params["name"])))


def routes(running: Running) -> list[ApiRoute]:
    """The routes of the dialect; `running` knows the answers that are on their way."""
    chat = Endpoint("/v1/chat/completions", requests.read_chat, write_chat, running)
    completion = Endpoint("/v1/completions", requests.read_completion, write_completion, running)
    embedding = Endpoint("/v1/embeddings", requests.read_embedding, write_embeddings, running)
    chat_says = Description(
        role="developer",
        summary="Answers a conversation.",
        body=bodies.ChatBody,
        example=examples.CHAT,
        answer_types=EVENTS,
    )
    completion_says = Description(
        role="developer",
        summary="Continues a text.",
        body=bodies.CompletionBody,
        example=examples.COMPLETION,
        answer_types=EVENTS,
    )
    embedding_says = Description(
        role="developer",
        summary="Turns texts into vectors.",
        body=bodies.EmbeddingBody,
        example=examples.EMBEDDING,
    )
    list_says = Description(role="viewer", summary="Lists what can be asked.", answer=ModelList)
    model_says = Description(role="viewer", summary="One model or app.", answer=ModelWire)
    return [
        ApiRoute("POST", chat.route, chat, chat_says),
        ApiRoute("POST", completion.route, completion, completion_says),
        ApiRoute("POST", embedding.route, embedding, embedding_says),
        ApiRoute("GET", "/v1/models", list_models, list_says),
        ApiRoute("GET", "/v1/models/{name:path}", get_model, model_says),
    ]
