"""Remote vendors as data, and `vendor/model` names to what is needed to reach them."""

from __future__ import annotations

import difflib
import fnmatch
import functools
import os
import tomllib
from importlib import resources
from typing import Literal, get_args
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import Struct

from penstock.config import Secret
from penstock.config.embedders import EmbedderSettings
from penstock.config.models import TargetSettings
from penstock.config.rerankers import RerankerSettings
from penstock.errors import ConfigError
from penstock.exchange import Operation
from penstock.models.dialects.anthropic import writing as anthropic
from penstock.models.dialects.bedrock import requests as bedrock
from penstock.models.dialects.gemini import requests as gemini
from penstock.models.dialects.openai import writing as openai

DialectName = Literal["openai", "anthropic", "gemini", "bedrock", "cohere"]
FEATURES = {
    "openai": openai.FEATURES,
    "anthropic": anthropic.FEATURES,
    "gemini": gemini.FEATURES,
    "bedrock": bedrock.FEATURES,
    "cohere": frozenset[str](),
}
ANYTHING: frozenset[Operation] = frozenset(get_args(Operation))
"""What an API may answer of which nothing is known."""

AuthName = Literal["bearer", "x-api-key", "x-goog-api-key", "api-key", "aws"]


class Embedding(Struct, frozen=True, kw_only=True):
    """How a vendor takes texts to embed.

    `texts` and `tokens` bound one request. `query` and `passage` are the fields that say what a text is for,
    `dimensions` the name of the one for the length of vectors. `dialect` is there where another one says more.
    """

    texts: int = 32
    tokens: int = 100_000
    query: dict[str, str] = {}
    passage: dict[str, str] = {}
    dimensions: str = "dimensions"
    dialect: DialectName | None = None


class Profile(Struct, frozen=True, kw_only=True):
    """What models of a vendor can do, and how they want it put; see `vendors.toml`."""

    dialect: DialectName = "openai"
    also: tuple[str, ...] = ()
    operations: frozenset[Operation] = frozenset({"chat", "complete", "embed"})
    lacks: frozenset[str] = frozenset()
    limit: str = "max_tokens"
    include_usage: bool = True
    longest: int = 8192
    adaptive: bool = True
    embedding: Embedding = Embedding()

    @property
    def features(self) -> frozenset[str]:
        """What its dialect has words for, without what it lacks."""
        return FEATURES[self.dialect] - self.lacks


class Refinement(Struct, frozen=True, kw_only=True):
    """What is otherwise for models whose name matches a pattern: `lacks` is added, the others stand instead."""

    match: str
    operations: frozenset[Operation] | None = None
    lacks: frozenset[str] = frozenset()
    limit: str | None = None
    longest: int | None = None
    adaptive: bool | None = None
    embedding: Embedding | None = None


class Vendor(Profile, frozen=True, kw_only=True):
    """One vendor; see `vendors.toml`."""

    title: str
    base_url: str = ""
    path: str = "{}"
    paths: dict[Operation, str] = {}
    versioned_path: str = ""
    key: str = ""
    auth: AuthName = "bearer"
    prices: str = ""
    headers: dict[str, str] = {}
    models: tuple[Refinement, ...] = ()

    def profile(self, model: str) -> Profile:
        """The vendor's profile with what is otherwise for this model; of two that say so the later counts."""
        found = {name: getattr(self, name) for name in Profile.__struct_fields__}
        for each in self.models:
            if fnmatch.fnmatchcase(model.lower(), each.match):
                for name in Refinement.__struct_fields__[1:]:
                    value = getattr(each, name)
                    if name == "lacks":
                        found[name] |= value
                    elif value is not None:
                        found[name] = value
        return Profile(**found)


class Timeouts(Struct, frozen=True, kw_only=True):
    """Seconds to a connection, to the first byte of an answer, and between any two. The total is the exchange's."""

    connect: float = 10.0
    first_token: float = 120.0
    between_tokens: float = 60.0


class Account(Struct, frozen=True, kw_only=True):
    """What an account at a vendor needs beside a key, for those that need it.

    `region` is AWS's. `deployment` is what the vendor calls the model, where that is not its name; `api_version`
    that of Azure's older API. `token` is an access token, sent in place of a key. `headers` go with every request.
    """

    region: str = ""
    deployment: str = ""
    api_version: str = ""
    token: Secret | None = None
    headers: tuple[tuple[str, str | Secret], ...] = ()


class RemoteSettings(Struct, frozen=True, kw_only=True):
    """A model elsewhere. `name` is "vendor/model", `model` what the vendor calls it.

    `path` is the form of a request's path behind `base_url`, with `{}` for that of the operation.
    """

    name: str
    model: str
    vendor: Vendor
    base_url: str
    path: str = "{}"
    api_key: Secret | None = None
    account: Account = Account()
    timeouts: Timeouts = Timeouts()

    @property
    def profile(self) -> Profile:
        return self.vendor.profile(self.name.partition("/")[2])

    @property
    def own_address(self) -> str:
        """The address where it is not the vendor's own, "" where it is."""
        known = vendors().get(self.name.partition("/")[0])
        return "" if known is not None and self.base_url == known.base_url else self.base_url

    def revealed_headers(self) -> list[tuple[str, str]]:
        """The headers of the account. Raises `ConfigError` where an environment variable is not set."""
        return [
            (name, value.reveal() if isinstance(value, Secret) else value) for name, value in self.account.headers
        ]

    def secret_headers(self) -> list[str]:
        return [value.reveal() for _, value in self.account.headers if isinstance(value, Secret)]


@functools.cache
def vendors() -> dict[str, Vendor]:
    """The known vendors by the name that stands before the slash."""
    text = resources.files(__package__).joinpath("vendors.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, Vendor])


def remote(
    use: str, base_url: str | None = None, api_key: Secret | None = None, account: Account | None = None
) -> RemoteSettings:
    """Settings for "vendor/model". A vendor that is not known needs a `base_url`.

    Raises `ConfigError` that names the nearest vendor, or the setting that is missing.
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
        vendor = Vendor(title=urlsplit(base_url).hostname or name, base_url=base_url, operations=ANYTHING)
    account = account or Account()
    refuse_unused(use, vendor, account)
    if api_key is None and account.token is None and needs_key(vendor, base_url):
        api_key = Secret.from_env(vendor.key)
    address, path = place(use, vendor, base_url, account)
    return RemoteSettings(
        name=use,
        model=account.deployment or model,
        vendor=vendor,
        base_url=address,
        path=path,
        api_key=api_key,
        account=account,
    )


def remote_of(target: TargetSettings | EmbedderSettings | RerankerSettings) -> RemoteSettings:
    """What a model of the configuration needs to be reached. Raises `ConfigError`."""
    account = Account(
        region=target.region,
        deployment=target.deployment,
        api_version=target.api_version,
        token=target.token,
        headers=tuple(target.headers.items()),
    )
    return remote(target.use, target.base_url, target.api_key, account)


def refuse_unused(use: str, vendor: Vendor, account: Account) -> None:
    """A setting without effect is a misunderstanding."""
    unused = {
        "region": account.region and vendor.auth != "aws",
        "api_version": account.api_version and not vendor.versioned_path,
    }
    for name, wrong in unused.items():
        if wrong:
            raise ConfigError(f"{name} has no effect on {use!r}.", hint="Leave it out.")


def needs_key(vendor: Vendor, base_url: str | None) -> bool:
    """Whether to read the vendor's usual variable. Another address is sent its key only where it is set."""
    if not vendor.key:
        return False
    return bool(os.environ.get(vendor.key)) or (vendor.auth != "aws" and base_url is None)


def place(use: str, vendor: Vendor, base_url: str | None, account: Account) -> tuple[str, str]:
    """The address of a vendor for an account, and the form of the paths behind it."""
    address = base_url or vendor.base_url
    if not address:
        raise ConfigError(
            f"{use!r} needs a base_url: {vendor.title} gives every account an address of its own.",
            hint="For example base_url = 'https://my-resource.openai.azure.com'.",
        )
    if "{region}" in address:
        region = region_of(account)
        if not region:
            raise ConfigError(f"{use!r} needs a region.", hint="For example region = 'eu-central-1'.")
        address = address.format(region=region)
    address = address.rstrip("/")
    path = vendor.path
    if account.api_version and vendor.versioned_path:
        deployment = quote(account.deployment or use.partition("/")[2], safe="")
        path = vendor.versioned_path.replace("{deployment}", deployment)
        path = path.replace("{api_version}", quote(account.api_version, safe=""))
    stem = path.removesuffix("{}")
    if stem and address.endswith(stem):  # some write the whole address
        path = "{}"
    return address, path


def region_of(account: Account) -> str:
    return account.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
