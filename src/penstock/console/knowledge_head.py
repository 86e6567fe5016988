"""What every page of a knowledge base begins with: its name, what it holds, and the way to its other pages."""

from __future__ import annotations

from msgspec import Struct
from starlette.requests import Request

from penstock.access.principal import at_least, require_local
from penstock.access.routes import principal_of
from penstock.console.choices import Option
from penstock.console.passages import knowledge_address
from penstock.exchange import LOCAL_PROJECT
from penstock.gateway.services import Services
from penstock.knowledge.base import KnowledgeBase, KnowledgeCounts

FOR_READERS = {"Documents": "", "Search": "/search", "Map": "/map", "Gaps": "/gaps"}
FOR_KEEPERS = {"Sources": "/sources", "Runs": "/runs", "Generations": "/generations"}


class KnowledgeHead(Struct, frozen=True, kw_only=True):
    """`siblings` says that who looks may read other knowledge bases, too; `keeps` that they may change this one."""

    name: str
    address: str
    siblings: bool
    keeps: bool
    counts: KnowledgeCounts
    tabs: tuple[Option, ...]


def head_of(request: Request, base: KnowledgeBase, counts: KnowledgeCounts, shown: str) -> KnowledgeHead:
    """`shown` is the page that it stands above."""
    services: Services = request.app.state.services
    address = knowledge_address(base.name)
    keeps = may_keep(request)
    pages = FOR_READERS | (FOR_KEEPERS if keeps else {})
    if services.gaps is None:
        del pages["Gaps"]
    return KnowledgeHead(
        name=base.name,
        address=address,
        siblings=len(services.readable(principal_of(request))) > 1,
        keeps=keeps,
        counts=counts,
        tabs=tuple(Option(label, address + path, label == shown) for label, path in pages.items()),
    )


def base_of(request: Request) -> KnowledgeBase:
    """The knowledge that the address names. Raises `NotFound`."""
    services: Services = request.app.state.services
    return services.knowledge_of(principal_of(request), request.path_params["name"])


def own_base_of(request: Request) -> KnowledgeBase:
    """As `base_of`, for who changes it: an app that is open to other projects is theirs to read only."""
    base = base_of(request)
    require_local(principal_of(request), f"Changing knowledge {base.name!r}")
    return base


def may_keep(request: Request) -> bool:
    principal = principal_of(request)
    return principal.project_id == LOCAL_PROJECT and at_least(principal, "admin")
