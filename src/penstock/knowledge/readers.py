"""Who asks, as the tags that documents may be kept for.

project:acme      keys of that project
key:key_0197f2…   one key by its id; `key:web` is also [keys.web] of penstock.toml
role:developer    keys of the server's own project with that role, or one above it
group:hr          keys and people in that group
"""

from __future__ import annotations

from typing import get_args

from penstock.exchange import LOCAL_PROJECT, Principal, Role
from penstock.knowledge.values import EVERYTHING, Reader

ROLES: tuple[Role, ...] = get_args(Role)
DECLARED = "key_config_"
"""The beginning of the ids of keys that penstock.toml declares; their names are unique, those of others are not."""


def reader_of(principal: Principal) -> Reader:
    """The owner of the server finds everything, and so does everybody where there are no keys.

    A tenant makes its own admins and owners, so their roles say nothing about documents that are not its own.
    """
    own = principal.project_id == LOCAL_PROJECT
    if own and principal.role == "owner":
        return EVERYTHING
    tags = [f"project:{principal.project_id}"]
    if principal.key_id:
        tags.append(f"key:{principal.key_id}")
    if principal.key_id.startswith(DECLARED):
        tags.append(f"key:{principal.key_id.removeprefix(DECLARED)}")
    if own:
        tags += [f"role:{role}" for role in ROLES[: ROLES.index(principal.role) + 1]]
    tags += [f"group:{group}" for group in principal.groups]
    return Reader(tuple(sorted(tags)))
