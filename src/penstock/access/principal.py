"""What a principal may do: the order of the roles, whose things it sees, and the patterns of what it may ask.

viewer     reads what belongs to its project: traces, costs, the console
developer  calls models and apps, too
admin      manages its project's keys, limits and documents, too
owner      the same with owners' keys; an owner of project `local` is the owner of the whole server: makes
           projects and administers all of them
"""

from __future__ import annotations

import functools

from penstock.errors import Forbidden
from penstock.exchange import LOCAL_PROJECT, Principal, Role

RANK: dict[str, int] = {"viewer": 0, "developer": 1, "admin": 2, "owner": 3}
ROLES: tuple[Role, ...] = ("viewer", "developer", "admin", "owner")


PERSON = "user_"
"""The beginning of the id of somebody who signed in with an account, where others have their key's."""


def is_person(principal: Principal) -> bool:
    return principal.key_id.startswith(PERSON)


def at_least(principal: Principal, role: Role) -> bool:
    return RANK[principal.role] >= RANK[role]


def require(principal: Principal, role: Role, what: str) -> None:
    """Raises `Forbidden` that names the role needed."""
    if RANK[principal.role] < RANK[role]:
        raise Forbidden(
            f"{what} needs the role {role}, and {principal.name!r} is {principal.role}.",
            hint=f"Use a key with the role {role}: penstock keys create --role {role}.",
        )


def owns_server(principal: Principal) -> bool:
    """Whether it administers every project."""
    return principal.role == "owner" and principal.project_id == LOCAL_PROJECT


def require_local(principal: Principal, what: str) -> None:
    """Raises `Forbidden` for a principal of another project than the server's own."""
    if principal.project_id != LOCAL_PROJECT:
        raise Forbidden(
            f"{what} needs a key of project {LOCAL_PROJECT!r}, not of {principal.project_id!r}.",
            hint="That project is the server's own; ask who runs it.",
        )


def sees(principal: Principal, project_id: str) -> bool:
    """Whether what belongs to a project exists for this principal."""
    return principal.project_id == project_id or owns_server(principal)


def seen_project(principal: Principal, asked: str | None) -> str | None:
    """The project whose figures are shown, `None` for all. Raises `Forbidden` for another than one's own."""
    if owns_server(principal):
        return asked
    if asked is not None and asked != principal.project_id:
        raise Forbidden(
            f"The figures of project {asked[:64]!r} are not yours to see.",
            hint=f"Leave 'project' out to see those of {principal.project_id!r}.",
        )
    return principal.project_id


def matches(pattern: str, name: str) -> bool:
    """Whether `*` in the pattern can stand for pieces of text so that the pattern becomes the name."""
    first, *rest = pattern.split("*")
    if not rest:
        return name == first
    *middle, last = rest
    if not name.startswith(first) or len(name) < len(first) + len(last) or not name.endswith(last):
        return False
    at, end = len(first), len(name) - len(last)
    for piece in middle:
        found = name.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


@functools.lru_cache(maxsize=4096)
def permits(patterns: tuple[str, ...], name: str) -> bool:
    """Whether a name is among what the patterns allow; no pattern at all allows everything."""
    return not patterns or any(matches(pattern, name) for pattern in patterns)


def within(child: tuple[str, ...], parent: tuple[str, ...]) -> bool:
    """Whether the patterns of a child allow nothing that its parent's do not.

    A `*` of the child is matched as a character like any other, and only a `*` of the parent matches it: then the
    parent's takes whatever the child's stands for.
    """
    return not parent or (bool(child) and all(permits(parent, pattern) for pattern in child))
