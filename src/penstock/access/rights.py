"""Who may make, end and replace which key: never one with more rights than one's own."""

from __future__ import annotations

import msgspec

from penstock.access.principal import RANK, owns_server, require, sees, within
from penstock.access.values import Key, NewKey
from penstock.errors import Conflict, Forbidden, InvalidRequest
from penstock.exchange import Principal

LONGEST_NAME = 100
LONGEST_PATTERN = 200


def settle(wanted: NewKey, parent: Key | None, principal: Principal, now_us: int) -> NewKey:
    """What a new key gets: what is asked for, and where nothing is said, what its parent has.

    `parent` is the key that the principal shows, `None` for a command on this machine. Raises `Forbidden` for
    more rights than the principal has, `InvalidRequest` for what no key can have.
    """
    require(principal, "admin", "Making a key")
    project_id = principal.project_id if wanted.project_id is None else wanted.project_id
    check_words(wanted)
    if not sees(principal, project_id):
        raise Forbidden(
            f"Making a key of project {project_id!r} needs an owner of this server.",
            hint=f"{principal.name!r} makes keys of its own project, {principal.project_id!r}.",
        )
    key = msgspec.structs.replace(
        wanted,
        project_id=project_id,
        models=wanted.models or principal.models,
        routes=wanted.routes or principal.routes,
        expires_us=parent.expires_us if parent and wanted.expires_us is None else wanted.expires_us,
    )
    if key.expires_us is not None and key.expires_us <= now_us:
        raise InvalidRequest(
            "The key would have expired already.", hint="Give a time in the future.", param="expires_at"
        )
    refuse_more(key, parent, principal)
    return key


def refuse_more(key: NewKey | Key, parent: Key | None, principal: Principal) -> None:
    """Raises `Forbidden` that names the right which the principal does not have itself."""
    excess = ""
    if RANK[key.role] > RANK[principal.role]:
        excess = f"the role {key.role}"
    elif not within(key.models, principal.models):
        excess = f"models {listed(key.models)}"
    elif not within(key.routes, principal.routes):
        excess = f"routes {listed(key.routes)}"
    elif not (owns_server(principal) or set(key.groups) <= set(principal.groups)):
        excess = f"groups {listed(key.groups)}"
    elif parent and parent.expires_us and (key.expires_us is None or key.expires_us > parent.expires_us):
        excess = "a later end"
    if excess:
        raise Forbidden(
            f"The key would have {excess}, which is more than {principal.name!r} has.",
            hint="A key that is made with another never has more rights than it.",
        )


def refuse_handling(key: Key, principal: Principal, what: str) -> None:
    """Raises `Forbidden` where a principal may not end or replace a key, `Conflict` where the file has it."""
    require(principal, "admin", what)
    if RANK[key.role] > RANK[principal.role]:
        raise Forbidden(
            f"{what} of the role {key.role} needs that role, and {principal.name!r} is {principal.role}."
        )
    if key.source == "config":
        raise Conflict(
            f"The key {key.name!r} is declared in penstock.toml.", hint=f"Change [keys.{key.name}] there."
        )


def check_words(wanted: NewKey) -> None:
    """Raises `InvalidRequest` for a name or a pattern that cannot be one."""
    if not wanted.name.strip() or len(wanted.name) > LONGEST_NAME or not wanted.name.isprintable():
        raise InvalidRequest(
            f"A key's name has 1 to {LONGEST_NAME} printable characters, and {wanted.name[:40]!r} does not.",
            hint="Name it after what uses it, such as 'web-app'.",
            param="name",
        )
    for param, patterns in (("models", wanted.models), ("routes", wanted.routes)):
        for pattern in patterns:
            if not pattern or len(pattern) > LONGEST_PATTERN or not pattern.isprintable():
                raise InvalidRequest(f"{pattern[:40]!r} is no pattern.", hint="Write 'gpt-*'.", param=param)
    for route in wanted.routes:
        if not route.startswith(("/", "*")):
            raise InvalidRequest(
                f"The route {route[:40]!r} is no path.", hint="Write '/v1/embeddings' or '/v1/*'.", param="routes"
            )
    for group in wanted.groups:
        if not group.strip() or len(group) > LONGEST_PATTERN or not group.isprintable():
            raise InvalidRequest(
                f"{group[:40]!r} is no name of a group.",
                hint="Write it as documents name it: 'hr'.",
                param="groups",
            )


def listed(patterns: tuple[str, ...]) -> str:
    return ", ".join(patterns) or "without a bound"
