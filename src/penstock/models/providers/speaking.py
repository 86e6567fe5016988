"""Which dialect and which proof of identity a vendor wants: the one place where their names become code."""

from __future__ import annotations

import os
from collections.abc import Mapping

from penstock.errors import ConfigError
from penstock.models.dialects.anthropic.dialect import AnthropicDialect
from penstock.models.dialects.anthropic.writing import Wording as AnthropicWording
from penstock.models.dialects.base import Dialect
from penstock.models.dialects.bedrock.dialect import BedrockDialect
from penstock.models.dialects.cohere.dialect import CohereDialect
from penstock.models.dialects.gemini.dialect import GeminiDialect
from penstock.models.dialects.openai.dialect import OpenAIDialect
from penstock.models.dialects.openai.requests import Wording
from penstock.models.dialects.responses.dialect import ResponsesDialect
from penstock.models.providers.auth import Auth, KeyAuth
from penstock.models.providers.signing import Credentials, Scope, Signature
from penstock.models.providers.vendors import Profile, RemoteSettings, region_of


def dialects_of(settings: RemoteSettings) -> tuple[Dialect, Mapping[str, Dialect]]:
    """The dialect of a model, and the others whose callers it understands, by name."""
    profile = settings.profile
    others = {name: dialect_of(name, settings, profile) for name in profile.also if has(name, settings)}
    return dialect_of(profile.dialect, settings, profile), others


def has(name: str, settings: RemoteSettings) -> bool:
    """Whether the dialect is spoken at this address.

    The Responses API has no path below a deployment, and what stands in for a vendor at another address often has
    only its chats.
    """
    vendor = settings.vendor
    if name != "responses":
        return True
    elsewhere = bool(vendor.key and vendor.base_url) and settings.base_url != vendor.base_url
    return not elsewhere and not (settings.account.api_version and vendor.versioned_path)


def dialect_of(name: str, settings: RemoteSettings, profile: Profile) -> Dialect:
    model = settings.model
    if name == "anthropic":
        return AnthropicDialect(model, AnthropicWording(max_tokens=profile.longest, adaptive=profile.adaptive))
    if name == "gemini":
        return GeminiDialect(model)
    if name == "bedrock":
        return BedrockDialect(model)
    if name == "responses":
        return ResponsesDialect(model, settings.name, settings.path)
    if name == "cohere":
        return CohereDialect(model)
    embedding = profile.embedding
    wording = Wording(
        limit=profile.limit,
        include_usage=profile.include_usage,
        dimensions=embedding.dimensions,
        query=embedding.query,
        passage=embedding.passage,
    )
    return OpenAIDialect(model, wording, settings.path, settings.vendor.paths)


def auth_of(settings: RemoteSettings) -> Auth:
    """Raises `ConfigError` where an environment variable is not set, or nothing says who we are."""
    account = settings.account
    if account.token is not None:
        return KeyAuth(account.token.reveal())
    key = settings.api_key.reveal() if settings.api_key else ""
    if settings.vendor.auth != "aws":
        return KeyAuth(key, settings.vendor.auth)
    if key:
        return KeyAuth(key)
    return Signature(credentials_of(settings), Scope(region_of(account), "bedrock"), settings.base_url)


def credentials_of(settings: RemoteSettings) -> Credentials:
    found = [os.environ.get(f"AWS_{name}", "") for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")]
    if not found[0] or not found[1]:
        raise ConfigError(
            f"Nothing says who asks {settings.name}.",
            hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, with AWS_SESSION_TOKEN for temporary ones, or "
            f"{settings.vendor.key}.",
        )
    if not region_of(settings.account):
        raise ConfigError(f"{settings.name!r} needs a region.", hint="For example region = 'eu-central-1'.")
    return Credentials(*found)
