"""Which dialect and which proof of identity a vendor wants: the one place where their names become code."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.models.dialects.base import Dialect
from penstock.models.dialects.openai.dialect import OpenAIDialect
from penstock.models.dialects.openai.requests import Wording
from penstock.models.providers.auth import Auth, KeyAuth
from penstock.models.providers.vendors import RemoteSettings


def dialects_of(settings: RemoteSettings) -> tuple[Dialect, Mapping[str, Dialect]]:
    """The dialect of a model, and the others whose callers it understands, by name."""
    profile = settings.profile
    wording = Wording(limit=profile.limit, include_usage=profile.include_usage)
    return OpenAIDialect(settings.model, wording), {}


def auth_of(settings: RemoteSettings) -> Auth:
    """Raises `ConfigError` where an environment variable is not set."""
    return KeyAuth(settings.api_key.reveal() if settings.api_key else "")
