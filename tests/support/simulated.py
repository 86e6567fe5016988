"""Each vendor's provider in front of the simulator."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from penstock.config import Secret
from penstock.errors import PenstockError
from penstock.exchange import Chunk, Exchange, Message
from penstock.gateway.registry import Target
from penstock.ids import new_trace_id
from penstock.models.dialects.collecting import collected
from penstock.models.providers.remote import RemoteProvider
from penstock.models.providers.vendors import Account, RemoteSettings, Timeouts, remote
from penstock.testing import Fault, Plan, ProviderServer

KEY = "sk-very-secret-0123456789abcdef"
MODELS = {
    "openai": "openai/gpt-4.1-mini",
    "azure": "azure/gpt-4.1-mini",
    "anthropic": "anthropic/claude-haiku-4-5",
    "gemini": "gemini/gemini-3-flash",
    "bedrock": "bedrock/eu.anthropic.claude-haiku-4-5-20251001-v1:0",
}
"""One model of each vendor, the dialects and the proofs of identity between them."""


def settings_at(vendor: str, server: ProviderServer, use: str = "", **fields: Any) -> RemoteSettings:
    places = {"azure": server.url, "gemini": f"{server.url}/v1beta", "bedrock": server.url}
    account = fields.pop("account", Account(region="eu-central-1" if vendor == "bedrock" else ""))
    found = remote(use or MODELS[vendor], places.get(vendor, server.base_url), Secret(KEY), account)
    changed = {name: getattr(found, name) for name in found.__struct_fields__}
    return RemoteSettings(**changed | {"timeouts": Timeouts(first_token=5, between_tokens=5)} | fields)


def remote_target(vendor: str, upstream: ProviderServer, **fields: Any) -> Target:
    """A vendor's model as the gateway has it, by the vendor's name."""
    settings = settings_at(vendor, upstream)
    provider = RemoteProvider(settings)
    return Target(
        name=vendor,
        kind="model",
        provider=provider,
        operations=settings.profile.operations,
        features=settings.profile.features,
        forwards=provider.dialects,
        lacks=settings.profile.lacks,
        **fields,
    )


@asynccontextmanager
async def provider_at(
    vendor: str, server: ProviderServer, use: str = "", **fields: Any
) -> AsyncIterator[RemoteProvider]:
    provider = RemoteProvider(settings_at(vendor, server, use, **fields))
    try:
        yield provider
    finally:
        await provider.close()


def ask(text: str = "Say three words", **fields: Any) -> Exchange:
    given: dict[str, Any] = {"messages": (Message("user", text),)} | fields
    return Exchange(id="req_1", trace_id=new_trace_id(), model="big", **given)


async def chunks_of(provider: RemoteProvider, exchange: Exchange) -> list[Chunk]:
    async with aclosing(provider.answer(exchange)) as answer:  # type: ignore[type-var]
        return [chunk async for chunk in answer]


async def answer_of(vendor: str, server: ProviderServer, exchange: Exchange, use: str = "", **fields: Any) -> Chunk:
    """The answer to an exchange as one chunk."""
    async with provider_at(vendor, server, use, **fields) as provider:
        return collected(await chunks_of(provider, exchange))


async def failure_of(
    vendor: str, server: ProviderServer, exchange: Exchange, fault: Fault | None = None, **fields: Any
) -> PenstockError:
    """What an exchange fails with, all its requests having a fault if there is one."""
    server.schedule.plans = [Plan(fault=fault)] if fault else []
    try:
        with pytest.raises(PenstockError) as caught:
            await answer_of(vendor, server, exchange, **fields)
    finally:
        server.schedule.plans = []
    return caught.value
