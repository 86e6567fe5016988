"""Routes that say who may use them, for the API and the console alike. What does not say so is the owner's."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from penstock.access.principal import RANK
from penstock.errors import Forbidden, PenstockError, Unauthenticated
from penstock.exchange import Principal, Role

JSON_TYPE = "application/json"


class GuardedRoute(Route):
    """A route with the least `role` that may use it; `None` is for everybody, key or not.

    `media_type` is what a body must be declared as. The principal is at `scope["principal"]`, put there by the
    gate; a request that did not pass it has none and is refused.
    """

    def __init__(
        self,
        path: str,
        endpoint: Any,
        *,
        role: Role | None = "owner",
        methods: tuple[str, ...] = ("GET",),
        media_type: str = JSON_TYPE,
    ) -> None:
        super().__init__(path, endpoint, methods=list(methods))
        self.role = role
        self.media_type = media_type
        self.rank = -1 if role is None else RANK[role]

    @property
    def media_types(self) -> tuple[str, ...]:
        """What a body may be declared as."""
        return (self.media_type,)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.rank >= 0:
            principal: Principal | None = scope.get("principal")
            if principal is None or RANK[principal.role] < self.rank:
                await self.refuse(refusal(principal, self.role), scope, receive, send)
                return
        await super().handle(scope, receive, send)

    async def refuse(self, error: PenstockError, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers who may not use this route; by default the server's error handlers do."""
        raise error


def refusal(principal: Principal | None, role: Role | None) -> PenstockError:
    if principal is None:
        return Unauthenticated("This needs a key, and none was shown.", hint=SHOW_A_KEY)
    return Forbidden(
        f"This needs the role {role}, and {principal.name!r} is {principal.role}.",
        hint=f"Use a key with the role {role}: penstock keys create --role {role}.",
    )


SHOW_A_KEY = "Send the header 'Authorization: Bearer pst_…'; `penstock keys create` makes a key."


def principal_of(request: Request) -> Principal:
    """Who asks. Everything that a handler reads or changes is its project's."""
    principal: Principal | None = request.scope.get("principal")
    if principal is None:
        raise Unauthenticated("This needs a key, and none was shown.", hint=SHOW_A_KEY)
    return principal
