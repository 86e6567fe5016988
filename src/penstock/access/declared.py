"""The projects and keys that penstock.toml declares: read when the server starts, and never written anywhere."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping

from penstock.access.hashing import KEY_PREFIX, Pepper
from penstock.access.values import Key, Project, StoredKey
from penstock.config.access import KeySettings, ProjectSettings
from penstock.errors import ConfigError
from penstock.exchange import LOCAL_PROJECT

FEWEST_CHARACTERS = 32
FEWEST_BITS = 96.0
"""What 32 random hex digits hardly ever stay below, by the frequencies of their characters."""
BY = "penstock.toml"


def declared_projects(settings: Mapping[str, ProjectSettings], existing: Collection[str]) -> list[Project]:
    """Raises `ConfigError` for an id that is taken by a project that was made."""
    for project_id in settings:
        if project_id == LOCAL_PROJECT or project_id in existing:
            raise ConfigError(
                f"[projects.{project_id}]: there is a project {project_id!r} already.",
                hint="Choose another name, or take the table out: a project is made or declared, not both.",
            )
    return [
        Project(id=project_id, title=each.title, created_by=BY, source="config")
        for project_id, each in settings.items()
    ]


def declared_keys(
    settings: Mapping[str, KeySettings], projects: Collection[str], pepper: Pepper
) -> list[StoredKey]:
    """Raises `ConfigError` for a project that there is not, and for a key that could be guessed or is not set."""
    found = []
    for name, each in settings.items():
        if each.project not in projects:
            raise ConfigError(
                f"keys.{name}.project: there is no project {each.project!r}.",
                hint=f"Add [projects.{each.project}], or make it with `penstock projects create {each.project}`.",
            )
        secret = each.key.reveal()
        refuse_guessable(name, secret)
        key = Key(
            id=f"key_config_{name}",
            name=name,
            prefix=secret[:8] if secret.startswith(KEY_PREFIX) else secret[:4],
            project_id=each.project,
            role=each.role,
            models=each.models,
            routes=each.routes,
            groups=each.groups,
            created_by=BY,
            source="config",
        )
        found.append(StoredKey(key, pepper.digest(secret.encode()), "hmac-sha256"))
    return found


def refuse_guessable(name: str, secret: str) -> None:
    """Raises `ConfigError` for a key that is too short or too even to be random; it is never shown."""
    if len(secret) >= FEWEST_CHARACTERS and bits(secret) >= FEWEST_BITS:
        return
    short = len(secret) < FEWEST_CHARACTERS
    what = f"it has {len(secret)} characters" if short else "its characters repeat"
    raise ConfigError(
        f"keys.{name}.key could be guessed: {what}.",
        hint=f"Use at least {FEWEST_CHARACTERS} random characters, such as those of `openssl rand -hex 32`.",
    )


def bits(text: str) -> float:
    """The entropy of a text by the frequencies of its own characters (Shannon), in bits."""
    length = len(text)
    return -sum(count * math.log2(count / length) for count in Counter(text).values())
