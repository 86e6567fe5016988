"""The chat page. The conversation itself runs in the browser, against /v1/chat/completions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from penstock.access.routes import principal_of
from penstock.console.rendering import View, page_route, render
from penstock.gateway.registry import Registry, Target
from penstock.gateway.services import Services
from penstock.knowledge.base import DocumentRow, KnowledgeBase, Reader
from penstock.knowledge.readers import reader_of

EXAMPLES = 4
LONGEST_TITLE = 70
CHAT = View("chat.html", "Chat")


class Choice(Struct, frozen=True):
    """Something that can be asked. `grounded` ones answer from documents."""

    name: str
    label: str
    grounded: bool


class ChatPage(Struct, frozen=True, kw_only=True):
    """`models` in the order of the picker, the default first. `documents` counts those that can be found."""

    title: str
    models: tuple[Choice, ...]
    knowledge: bool
    documents: int
    examples: tuple[str, ...]


async def home(request: Request) -> Response:
    """An app is there to be asked; a gateway is watched first."""
    services: Services = request.app.state.services
    return await show(request) if services.knowledge else RedirectResponse("/overview", 307)


async def show(request: Request) -> Response:
    services: Services = request.app.state.services
    principal = principal_of(request)
    readable = services.readable(principal)
    documents = await asyncio.to_thread(readable_documents, readable, reader_of(principal))
    page = ChatPage(
        title="Chat",
        models=choices(services.registry.open_to(principal)),
        knowledge=bool(readable),
        documents=len(documents),
        examples=tuple(examples(documents)),
    )
    return render(request, CHAT, page)


def readable_documents(knowledge: Mapping[str, KnowledgeBase], reader: Reader) -> list[DocumentRow]:
    return [row for base in knowledge.values() for row in base.documents(reader) if row.chunks]


def choices(registry: Registry) -> tuple[Choice, ...]:
    """Apps first: they answer from documents, which is what most people came for. Each model by one name only."""
    able = {id(target.provider): target for target in registry if "chat" in target.operations}.values()
    return tuple(choice(target) for target in sorted(able, key=lambda target: target.kind != "app"))


def choice(target: Target) -> Choice:
    grounded = target.kind == "app"
    return Choice(target.name, target.name if grounded else f"{target.name} (no documents)", grounded)


def examples(documents: Sequence[DocumentRow]) -> Iterable[str]:
    """Questions that the documents can answer, made from the titles of the longest ones."""
    titled = sorted((row for row in documents if fits(row)), key=lambda row: -row.characters)
    seen = dict.fromkeys(row.title.strip() for row in titled)
    for title in list(seen)[:EXAMPLES]:
        yield title if title.endswith("?") else f"What is said about “{title}”?"


def fits(row: DocumentRow) -> bool:
    """A title of a few words reads well in a sentence; a file name or a number does not."""
    return 3 <= len(row.title) <= LONGEST_TITLE and any(letter.isalpha() for letter in row.title)


def routes() -> list[BaseRoute]:
    return [page_route("/", home, role="developer"), page_route("/chat", show, role="developer")]
