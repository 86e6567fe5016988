"""Remote vendors as data, and `vendor/model` names to what is needed to reach them."""

from __future__ import annotations

import difflib
import functools
import os
import tomllib
from importlib import resources
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from penstock.config import Secret
from penstock.errors import ConfigError


class Vendor(Struct, frozen=True, kw_only=True):
    """One vendor of an API compatible with OpenAI's; see `vendors.toml`."""

    title: str
    base_url: str
    key: str = ""
    prices: str = ""
    limit: str = "max_tokens"
    include_usage: bool = True


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
    timeouts: Timeouts = Timeouts()


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
