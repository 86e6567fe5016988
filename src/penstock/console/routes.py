"""All pages of the console, and the files that they need."""

from __future__ import annotations

from starlette.routing import BaseRoute

from penstock.console import (
    accounts,
    audit,
    chat,
    costs,
    document,
    gaps,
    keys,
    knowledge,
    knowledge_generations,
    knowledge_map,
    knowledge_runs,
    knowledge_search,
    knowledge_sources,
    models,
    overview,
    projects,
    signin,
    trace,
    traces,
)
from penstock.console.assets import ASSETS


def routes() -> list[BaseRoute]:
    return [
        *signin.routes(),
        *accounts.routes(),
        *chat.routes(),
        *overview.routes(),
        *models.routes(),
        *costs.routes(),
        *keys.routes(),
        *projects.routes(),
        *audit.routes(),
        *traces.routes(),
        *trace.routes(),
        *knowledge.routes(),
        *knowledge_search.routes(),
        *knowledge_map.routes(),
        *gaps.routes(),
        *knowledge_sources.routes(),
        *knowledge_runs.routes(),
        *knowledge_generations.routes(),
        *document.routes(),
        *ASSETS.routes(),
    ]
