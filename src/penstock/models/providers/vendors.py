"""Remote vendors as data, and `vendor/model` names to what is needed to reach them."""

from __future__ import annotations

import difflib
import fnmatch
import functools
import os
import tomllib
from importlib import resources
from typing import Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from penstock.config import Secret
from penstock.errors import ConfigError
from penstock.exchange import Operation

DialectName = Literal["openai", "anthropic", "gemini", "bedrock"]
AuthName = Literal["bearer", "x-api-key", "x-goog-api-key", "api-key", "aws"]


class Profile(Struct, frozen=True, kw_only=True):
    """What models of a vendor can do, and how they want it put; see `vendors.toml`."""

    dialect: DialectName = "openai"
    also: tuple[str, ...] = ()
    operations: frozenset[Operation] = frozenset({"chat", "complete", "embed"})
    features: frozenset[str] | None = None
    lacks: frozenset[str] = frozenset()
    limit: str = "max_tokens"
    include_usage: bool = True


class Refinement(Struct, frozen=True, kw_only=True):
    """What is otherwise for models whose name matches a pattern: `lacks` is added, the others stand instead."""

    match: str
    operations: frozenset[Operation] | None = None
    lacks: frozenset[str] = frozenset()
    limit: str | None = None


class Vendor(Profile, frozen=True, kw_only=True):
    """One vendor; see `vendors.toml`."""

    title: str
    base_url: str
    key: str = ""
    auth: AuthName = "bearer"
    prices: str = ""
    headers: dict[str, str] = {}
    models: tuple[Refinement, ...] = ()

    def profile(self, model: str) -> Profile:
        """The vendor's profile with what is otherwise for this model."""
        found = Profile(**{name: getattr(self, name) for name in Profile.__struct_fields__})
        for each in self.models:
            if fnmatch.fnmatchcase(model.lower(), each.match):
                found = msgspec.structs.replace(
                    found,
                    operations=found.operations if each.operations is None else each.operations,
                    lacks=found.lacks | each.lacks,
                    limit=each.limit or found.limit,
                )
        return found


class Timeouts(Struct, frozen=True, kw_only=True):
    """Seconds to a connection, to the first byte of an answer, and between any two. The total is the exchange's."""

    connect: float = 10.0
    first_token: float = 120.0
    between_tokens: float = 60.0


class RemoteSettings(Struct, frozen=True, kw_only=True):
    """A model elsewhere. `name` is "vendor/model", `model` what the vendor calls it."""

    name: str
    model: str
    vendor: Vendor
    base_url: str
    api_key: Secret | None = None
    headers: tuple[tuple[str, str | Secret], ...] = ()
    timeouts: Timeouts = Timeouts()

    @property
    def profile(self) -> Profile:
        return self.vendor.profile(self.model)

    @property
    def revealed_headers(self) -> tuple[tuple[str, str], ...]:
        """Raises `ConfigError` where an environment variable is not set."""
        return tuple((name, value.reveal() if isinstance(value, Secret) else value) for name, value in self.headers)

    @property
    def secret_headers(self) -> tuple[str, ...]:
        return tuple(value.reveal() for _, value in self.headers if isinstance(value, Secret))


@functools.cache
def vendors() -> dict[str, Vendor]:
    """The known vendors by the name that stands before the slash."""
    text = resources.files(__package__).joinpath("vendors.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, Vendor])


def remote(use: str, base_url: str | None = None, api_key: Secret | None = None) -> RemoteSettings:
    """Settings for "vendor/model". A vendor that is not known needs a `base_url`.

    Raises `ConfigError` that names the nearest vendor.
    """
    name, _, model = use.partition("/")
    if not name or not model:
        raise ConfigError(f"{use!r} is not vendor/model.", hint="For example 'openai/gpt-4.1-mini'.")
    vendor = vendors().get(name)
    if vendor is None:
        if base_url is None:
            near = difflib.get_close_matches(name, vendors(), 1)
            known = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(vendors()))}."
            raise ConfigError(
                f"There is no vendor {name!r} (of {use!r}); {known}",
                hint="Any other OpenAI-compatible API works when base_url says where it is.",
            )
        vendor = Vendor(title=urlsplit(base_url).hostname or name, base_url=base_url)
    if api_key is None and vendor.key and (base_url is None or os.environ.get(vendor.key)):
        api_key = Secret.from_env(vendor.key)
    return RemoteSettings(
        name=use, model=model, vendor=vendor, base_url=(base_url or vendor.base_url).rstrip("/"), api_key=api_key
    )
