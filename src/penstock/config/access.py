"""`[access]`, `[projects.NAME]` and `[keys.NAME]`: who may use the server, as far as the file says."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from penstock.config.oidc import OidcSettings
from penstock.config.secret import Secret
from penstock.config.table import Table, Texts


class AccessSettings(Table):
    """How keys are kept. They are made with `penstock keys create`, or declared under `[keys.NAME]`."""

    pepper: Secret | None = Field(
        None,
        description='Secret that the digests of keys are made with, always as `{ env = "NAME" }`, at least 32 '
        "characters; processes on several machines that share a database need the same. Default: a file `pepper` "
        "in the data folder, made once.",
    )
    oidc: OidcSettings | None = None


class ProjectSettings(Table):
    """A project: a tenant with its own keys, traces and limits. The project `local` is always there."""

    title: str = Field("", max_length=200, description="What pages and lists call it.")


class KeySettings(Table):
    """A key that is kept elsewhere, such as in a secret store. Limits on it are `[[limits]]` with `key`."""

    key: Secret = Field(
        description='The key itself, always as `{ env = "NAME" }`: at least 32 random characters, such as those of '
        "`openssl rand -hex 32`."
    )
    project: str = Field("local", min_length=1, description="The project that it belongs to.")
    role: Literal["viewer", "developer", "admin", "owner"] = Field(
        "developer",
        description="What it may do, each more than the one before: read what belongs to its project, call models, "
        "manage the project's keys, everything.",
    )
    models: Texts = Field((), description="Names that it may ask, such as `gpt-*`. Default: all.")
    routes: Texts = Field((), description="Paths that it may use, such as `/v1/*`. Default: all.")
    groups: Texts = Field(
        (), description="Groups that it is in: documents that are only for a group are found with its keys."
    )
