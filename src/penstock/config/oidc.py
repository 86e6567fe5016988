"""`[access.oidc]`: signing in to the console with an account of the organisation (OpenID Connect)."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from penstock.config.addresses import http_address
from penstock.config.secret import Secret
from penstock.config.table import Table, Texts, conflict

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class RoleRule(Table):
    """Who gets which role, by what the issuer says of them. The first of the rules that fits counts."""

    claim: str | None = Field(
        None,
        min_length=1,
        description="Claim of the ID token that is looked at, such as `groups`; a dot goes into a table "
        "(`realm_access.roles`). Default: the rule fits everybody in `domains` or `emails`.",
    )
    values: Texts = Field((), description="What the claim must be, or hold at least one of.")
    role: Literal["viewer", "developer", "admin", "owner"] = Field(description="The role that they get.")
    project: str = Field("local", min_length=1, description="The project that they get it in.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.claim is None) != (not self.values):
            missing = "claim" if self.claim is None else "values"
            raise conflict("is missing: a rule has both a claim and its values, or neither", missing)
        return self


class OidcSettings(Table):
    """Sign-in to the console with an account of your organisation; then every request needs a key or an account.

    Needs `pip install 'penstock[oidc]'`. Register `ADDRESS/signin/oidc/callback` as the redirect address.
    """

    issuer: str = Field(description="Address of the issuer, as its discovery document spells it.")
    client_id: str = Field(min_length=1, description="What the issuer calls this server.")
    client_secret: Secret | None = Field(
        None,
        description='Secret of that client, always as `{ env = "NAME" }`. Default: none, for a public client.',
    )
    address: str | None = Field(
        None,
        description="Where browsers reach this server, such as `https://llm.example.com`. Default: its loopback "
        "address, so nobody signs in from elsewhere.",
    )
    title: str = Field("your organisation", max_length=60, description="What the page to sign in calls the issuer.")
    scopes: Texts = Field(("openid", "email", "profile"), description="What is asked of the issuer.")
    roles: Annotated[tuple[RoleRule, ...], Field(strict=False)] = Field(
        min_length=1, description="Who gets which role. Whom no rule fits does not come in."
    )
    groups: str | None = Field(
        None,
        min_length=1,
        description="Claim of the ID token with the groups that somebody is in, such as `groups`; a dot goes into "
        "a table. They open the documents that are only for those groups. Default: nobody is in any.",
    )
    domains: Texts = Field(
        (), description="Only accounts with a verified e-mail address of these domains. Default: all."
    )
    emails: Texts = Field((), description="Beside those, or alone: these verified e-mail addresses.")
    hosts: Texts = Field(
        (),
        description="Other hosts at which the issuer may have its token address and keys; Google needs "
        '`["oauth2.googleapis.com", "www.googleapis.com"]`. Default: only the issuer\'s own.',
    )
    session_hours: float = Field(
        12.0, gt=0, le=168, description="How long somebody stays signed in, unless the issuer says less."
    )

    @field_validator("issuer", "address")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = http_address(value, "https://login.example.com")
        if parts.query or parts.fragment:
            raise ValueError("must be an address such as 'https://login.example.com'")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise ValueError("must be https: what comes over http could be anybody's")
        return value

    @field_validator("address")
    @classmethod
    def _no_path(cls, value: str | None) -> str | None:
        if value is not None and urlsplit(value).path not in ("", "/"):
            raise ValueError("must be without a path, such as 'https://llm.example.com'")
        return value

    @field_validator("scopes")
    @classmethod
    def _openid(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in value:
            raise ValueError("must hold 'openid', without which there is no ID token")
        return value

    @model_validator(mode="after")
    def _not_everybody(self) -> Self:
        for number, rule in enumerate(self.roles):
            if rule.claim is None and not (self.domains or self.emails):
                raise conflict(
                    "lets in everybody who has an account with the issuer: add a claim and values, or set domains "
                    "or emails",
                    "roles",
                    number,
                )
        return self
