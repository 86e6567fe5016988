"""The routes of the OpenAI dialect beside text: moderation, images, audio; and Cohere's reranking."""

from __future__ import annotations

from starlette.types import Scope

from penstock.exchange import Exchange, Operation
from penstock.gateway.registry import ROUTES
from penstock.http import examples
from penstock.http.answering import AnswerWriter, Running, Write
from penstock.http.openai import Endpoint, Read
from penstock.http.posts import header
from penstock.http.routes import EVENTS, ApiRoute, Description
from penstock.models.dialects.openai import operations
from penstock.models.dialects.openai.operation_answers import PassedWriter, RerankWriter


class FormEndpoint(Endpoint):
    """An operation whose body is a form."""

    def read(self, scope: Scope, body: bytes, exchange: Exchange) -> Exchange:
        return super().read(scope, body, exchange.replace(media_type=header(scope, b"content-type")))


def write_passed(exchange: Exchange, base: str) -> AnswerWriter:
    return PassedWriter()


def write_ranking(exchange: Exchange, base: str) -> AnswerWriter:
    return RerankWriter(exchange)


FORMS: dict[Operation, tuple[type[operations.Form], str, tuple[str, ...]]] = {
    "edit_image": (operations.ImageEditForm, "Changes pictures as a text says.", EVENTS),
    "vary_image": (operations.ImageVariationForm, "Makes pictures that are like one.", EVENTS),
    "transcribe": (operations.TranscriptionForm, "Writes down what is said.", (*EVENTS, "text/plain")),
    "translate": (operations.TranslationForm, "Writes down in English what is said.", (*EVENTS, "text/plain")),
}
JSON: dict[Operation, tuple[Read, Write, Description]] = {
    "moderate": (
        operations.read_moderation,
        write_passed,
        Description(
            role="developer",
            summary="Classifies texts and images.",
            body=operations.ModerationBody,
            example=examples.MODERATION,
        ),
    ),
    "rerank": (
        operations.read_rerank,
        write_ranking,
        Description(
            role="developer",
            summary="Orders documents by how well they match a query.",
            body=operations.RerankBody,
            example=examples.RERANK,
        ),
    ),
    "image": (
        operations.read_image,
        write_passed,
        Description(
            role="developer",
            summary="Makes pictures from a text.",
            body=operations.ImageBody,
            example=examples.IMAGE,
            answer_types=EVENTS,
        ),
    ),
    "speech": (
        operations.read_speech,
        write_passed,
        Description(
            role="developer",
            summary="Speaks a text.",
            body=operations.SpeechBody,
            answer_types=("audio/*", "text/event-stream"),
            example=examples.SPEECH,
        ),
    ),
}


def routes(running: Running) -> list[ApiRoute]:
    """The routes of these operations; `running` knows the answers that are on their way."""
    found = []
    for operation, (read, write, description) in JSON.items():
        path = ROUTES[operation]
        found.append(ApiRoute("POST", path, Endpoint(path, read, write, running), description))
    for operation, (kind, summary, types) in FORMS.items():
        path, read = ROUTES[operation], operations.form_reader(operation, kind)
        endpoint = FormEndpoint(path, read, write_passed, running)
        says = Description(role="developer", summary=summary, body=kind, form=True, answer_types=types)
        found.append(ApiRoute("POST", path, endpoint, says))
    return found
