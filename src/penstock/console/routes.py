"""All pages of the console, and the files that they need."""

from __future__ import annotations

from starlette.routing import BaseRoute

from penstock.console import accounts, chat, document, knowledge, signin, trace, traces
from penstock.console.assets import ASSETS


def routes() -> list[BaseRoute]:
    return [
        *signin.routes(),
        *accounts.routes(),
        *chat.routes(),
        *traces.routes(),
        *trace.routes(),
        *knowledge.routes(),
        *document.routes(),
        *ASSETS.routes(),
    ]
