"""From the claims of an ID token to what somebody may do here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from penstock.access.principal import PERSON
from penstock.config.oidc import OidcSettings
from penstock.errors import Forbidden
from penstock.exchange import Principal

LONGEST_NAME = 100
MOST_GROUPS = 500


def person(claims: Mapping[str, Any], settings: OidcSettings) -> Principal:
    """Whom the claims, which are verified, are about. Raises `Forbidden` for who may not come in."""
    name = shown_name(claims)
    check_email(claims, settings, name)
    for rule in settings.roles:
        if rule.claim is None or set(rule.values) & set(texts(claims, rule.claim)):
            subject = f"{settings.issuer}\0{claims['sub']}"
            return Principal(
                project_id=rule.project,
                key_id=PERSON + hashlib.sha256(subject.encode()).hexdigest()[:16],
                name=name,
                role=rule.role,
                groups=groups(claims, settings),
            )
    raise Forbidden(
        f"{name} has no role on this server.",
        hint="Ask who runs it: no rule under [[access.oidc.roles]] fits the account.",
    )


def groups(claims: Mapping[str, Any], settings: OidcSettings) -> tuple[str, ...]:
    """The groups that the issuer names, each once; more than `MOST_GROUPS` are left out rather than kept."""
    named = texts(claims, settings.groups) if settings.groups else []
    return tuple(dict.fromkeys(each for each in named if each.strip()))[:MOST_GROUPS]


def check_email(claims: Mapping[str, Any], settings: OidcSettings, name: str) -> None:
    """Raises `Forbidden` for an address that is not among those let in, or that nobody has verified."""
    if not (settings.domains or settings.emails):
        return
    email = claims.get("email")
    if not isinstance(email, str) or claims.get("email_verified") is not True:
        raise Forbidden(
            f"The issuer does not say that it has verified an e-mail address of {name}.",
            hint="Verify it there; or let people in by a claim such as groups instead of domains and emails.",
        )
    address = email.lower()
    domain = address.rpartition("@")[2]
    if address not in map(str.lower, settings.emails) and domain not in map(str.lower, settings.domains):
        raise Forbidden(
            f"{email[:LONGEST_NAME]} is not among those who may sign in.", hint="Ask who runs this server."
        )


def texts(claims: Mapping[str, Any], path: str) -> list[str]:
    """What a claim holds: a text, or several. A name with dots is looked for as it is first."""
    value: Any = claims
    if path in claims:
        value = claims[path]
    else:
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, str):
        return [value]
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def shown_name(claims: Mapping[str, Any]) -> str:
    """What pages and audit records call somebody."""
    for claim in ("email", "preferred_username", "name"):
        value = claims.get(claim)
        if isinstance(value, str) and value and value.isprintable():
            return value[:LONGEST_NAME]
    return str(claims["sub"])[:LONGEST_NAME]


def session_end(claims: Mapping[str, Any], settings: OidcSettings, now_us: int) -> int:
    """When the session ends, in microseconds since 1970: after `session_hours`, or earlier if the issuer says so.

    `session_expiry` is the claim of OpenID Connect Enterprise Extensions; `exp` bounds the token, not the session.
    """
    end = now_us + int(settings.session_hours * 3600 * 1e6)
    bound = claims.get("session_expiry")
    return min(end, int(bound * 1e6)) if isinstance(bound, int | float) else end
