"""Models as a configuration names them, served on loopback in front of simulated providers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from penstock.config import AppSettings, ModelSettings, Settings
from penstock.gateway.registry import Registry
from penstock.platform.models import ModelParts, build_registry
from penstock.testing import Fault, Plan, ProviderServer
from support.gateway_site import Site, site

HI = [{"role": "user", "content": "Say three words"}]
CHAT = "/v1/chat/completions"


def model(**fields: Any) -> ModelSettings:
    return ModelSettings.model_validate(fields)


def at(server: ProviderServer, use: str = "corp/large", **fields: Any) -> dict[str, Any]:
    """A target at a simulated provider."""
    return {"use": use, "base_url": server.base_url, **fields}


def settings(**models: ModelSettings) -> Settings:
    return Settings(app=AppSettings(name="docs"), models=models, knowledge={})


def parts() -> ModelParts:
    return ModelParts(lambda progress: None)


def registry(own: ModelParts | None = None, **models: ModelSettings) -> Registry:
    return build_registry(settings(**models), own or parts())


@asynccontextmanager
async def served(folder: Path, **models: ModelSettings) -> AsyncIterator[Site]:
    async with site(folder, *registry(**models)) as it:
        yield it


def always(kind: str, **fields: Any) -> list[Plan]:
    return [Plan(fault=Fault(kind=kind, **fields))]  # type: ignore[arg-type]
