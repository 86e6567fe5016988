"""Every setting of `penstock.toml`, with its type, default and meaning; one file of this folder per table.

`docs/configuration.md` is made from the descriptions, and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from penstock.config.access import AccessSettings, KeySettings, ProjectSettings
from penstock.config.app import AppSettings
from penstock.config.batches import BatchSettings
from penstock.config.cache import CacheSettings
from penstock.config.chains import check_chains
from penstock.config.database import DatabaseSettings
from penstock.config.embedders import EmbedderSettings
from penstock.config.features import FeatureName, FeatureSettings
from penstock.config.knowledge import DEFAULT_EMBEDDER, KnowledgeSettings
from penstock.config.ledger import LedgerSettings
from penstock.config.limits import EventSettings, Limits
from penstock.config.logs import LogSettings
from penstock.config.models import ModelSettings
from penstock.config.prices import ModelUse, PriceSettings, check_prices
from penstock.config.rerankers import RerankerSettings
from penstock.config.responses import ResponseSettings
from penstock.config.server import ServerSettings
from penstock.config.table import ModelName, Name, Table, conflict
from penstock.config.traces import TraceSettings


def taken_names(models: Mapping[str, object], knowledge: Mapping[str, object]) -> set[str]:
    """What clients may pass as `model` beside the app: models by both their names, and embedders.

    Takes tables before and after validation, so that an inferred name can avoid them.
    """
    names = set(models)
    for table, key in [
        *((each, "use") for each in models.values()),
        *((each, "embedder") for each in knowledge.values()),
    ]:
        value = table.get(key, DEFAULT_EMBEDDER) if isinstance(table, dict) else getattr(table, key, "")
        names.add(str(value))
    return names


class Settings(Table):
    """Everything that `penstock.toml` says, defaults filled in."""

    app: AppSettings
    models: dict[ModelName, ModelSettings]
    knowledge: dict[Name, KnowledgeSettings]
    embedders: dict[ModelName, EmbedderSettings] = Field(default_factory=dict)
    rerankers: dict[ModelName, RerankerSettings] = Field(default_factory=dict)
    features: dict[FeatureName, FeatureSettings] = Field(default_factory=dict)
    server: ServerSettings = ServerSettings()
    cache: CacheSettings = CacheSettings()
    traces: TraceSettings = TraceSettings()
    logs: LogSettings = LogSettings()
    ledger: LedgerSettings = LedgerSettings()
    prices: dict[ModelUse, PriceSettings] = Field(default_factory=dict)
    database: DatabaseSettings = DatabaseSettings()
    responses: ResponseSettings = ResponseSettings()
    batches: BatchSettings = BatchSettings()
    access: AccessSettings = AccessSettings()
    projects: dict[Name, ProjectSettings] = Field(default_factory=dict)
    keys: dict[Name, KeySettings] = Field(default_factory=dict)
    limits: Limits = ()
    events: EventSettings = EventSettings()

    def embedder(self, name: str) -> EmbedderSettings:
        """The embedder of that name: of a table, or what the name itself says."""
        return self.embedders.get(name) or EmbedderSettings(use=name)

    def reranker(self, name: str) -> RerankerSettings:
        """The reranker of that name: of a table, or what the name itself says."""
        return self.rerankers.get(name) or RerankerSettings(use=name)

    @model_validator(mode="after")
    def _chains_end(self) -> Self:
        check_chains(self.models)
        return self

    @model_validator(mode="after")
    def _someone_rewrites(self) -> Self:
        """Without `models.default` a command can still name one."""
        name = self.app.rewrite_model
        if name != "default" and name not in self.models:
            raise conflict(
                f"is {name!r}, but there is no [models.{name}]; there is: {', '.join(self.models) or 'none'}",
                "app",
                "rewrite_model",
            )
        return self

    @model_validator(mode="after")
    def _prices_are_of_models(self) -> Self:
        check_prices(self.prices, self.models)
        return self

    @model_validator(mode="after")
    def _workers_share(self) -> Self:
        """What runs on this machine would run once in every worker."""
        if self.server.workers == 1:
            return self
        here = [
            *(f"[knowledge.{name}]" for name in self.knowledge),
            *(f"[models.{name}]" for name, model in self.models.items() if not model.remote),
            *(["[cache.semantic]"] if self.cache.enabled and self.cache.semantic else []),
        ]
        if here:
            raise conflict(
                f"must be 1 with {here[0]}, which would run once in each of {self.server.workers} workers: serve "
                "it with an app of its own, and name that here as a model with a base_url",
                "server",
                "workers",
            )
        return self

    @model_validator(mode="after")
    def _one_name_each(self) -> Self:
        if self.app.name in taken_names(self.models, self.knowledge):
            raise conflict(
                f"must not be {self.app.name!r}: a model has that name, and clients could not tell the two apart",
                "app",
                "name",
            )
        if len(self.knowledge) > 1:
            first, second, *_ = self.knowledge
            raise conflict(
                f"is a second knowledge, and an app answers from one: add its sources to [knowledge.{first}]",
                "knowledge",
                second,
            )
        return self
