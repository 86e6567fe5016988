"""The OpenAI dialect: /v1/models, /v1/chat/completions, /v1/completions and /v1/embeddings."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from penstock.exchange import Exchange, Principal
from penstock.gateway.cache.control import DIRECTIVES, read_directives
from penstock.gateway.registry import Target
from penstock.gateway.services import Services
from penstock.http import examples, models
from penstock.http.answering import Answering, AnswerWriter, Running, Write, measure
from penstock.http.errors import as_penstock, body_of, dialect_of, headers_of, status_of
from penstock.http.gate import HEADERS
from penstock.http.posts import AsgiPost, Post
from penstock.http.routes import EVENTS, ApiRoute, Description, principal_of, read_query, reply
from penstock.ids import new_id, new_trace_id
from penstock.models.dialects.openai import answers, bodies, requests

Read = Callable[[bytes, Exchange], Exchange]

SESSION_HEADER = b"x-penstock-session"


class Endpoint:
    """One operation of the dialect: reads a body, flies it, writes the answer. Also an ASGI app."""

    def __init__(self, route: str, read: Read, write: Write, running: Running) -> None:
        self.route = route
        self._read = read
        self._write = write
        self._running = running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.serve(AsgiPost(scope, receive, send))

    async def serve(self, post: Post) -> None:
        state = post.scope["app"].state
        try:
            body = await post.body()
            services: Services = state.services
            exchange = self.read(post.scope, body, begin(post.scope, services))
            flight = services.pipeline.run(exchange)
        except Exception as unexpected:
            error = as_penstock(unexpected)
            measure(state.services.meter, self.route, status_of(error), None)
            await post.answer(status_of(error), headers_of(error), body_of(error, dialect_of(post.scope)))
            return
        answering = Answering(flight, self._write, post, self._running)
        try:
            await answering.deliver()
        finally:
            measure(services.meter, self.route, answering.status, flight, answering.sent)

    def read(self, scope: Scope, body: bytes, exchange: Exchange) -> Exchange:
        """The exchange with what the body says. Raises `InvalidRequest`."""
        return self._read(body, exchange)


def begin(scope: Scope, services: Services) -> Exchange:
    """An exchange with what does not come from the body."""
    options: dict[str, Any] = {}
    headers: dict[bytes, bytes] = scope[HEADERS]
    if session := headers.get(SESSION_HEADER):
        options["session"] = session.decode("latin-1")[:200]
    if services.cache is not None and (directives := read_directives(headers)) is not None:
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
