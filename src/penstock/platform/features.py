"""The facts about who asks, from `[features]`."""

from __future__ import annotations

from contextlib import AsyncExitStack
from urllib.parse import urlsplit

from penstock.config import AppFolder
from penstock.config.features import FeatureSettings
from penstock.config.secret import Secret
from penstock.features.base import FeatureSource
from penstock.features.feast import FeastFeature
from penstock.features.http import HttpFeature, Lookup
from penstock.features.lookup import Feature, Features, Terms
from penstock.features.repository import FactQuery
from penstock.features.sql import SqlFeature
from penstock.models.providers.connection import Address, Connection


def open_features(folder: AppFolder, stack: AsyncExitStack) -> Features | None:
    """`None` where there are none; `stack` closes them. Raises `ConfigError`."""
    tables = folder.settings.features
    if not tables:
        return None
    features = Features(
        [Feature(source_of(name, table, folder), terms_of(table)) for name, table in tables.items()]
    )
    stack.push_async_callback(features.close)
    return features


def terms_of(table: FeatureSettings) -> Terms:
    return Terms(deadline=table.deadline_ms / 1000, keep=table.keep_seconds, default=table.default)


def source_of(name: str, table: FeatureSettings, folder: AppFolder) -> FeatureSource:
    title, seconds = f"features.{name}", table.deadline_ms / 1000
    if table.source == "sql":
        assert table.database is not None
        return SqlFeature(name, FactQuery(title, table.database.reveal(), table.query, folder.root, seconds))
    assert table.url is not None
    headers = tuple(
        (key, value.reveal() if isinstance(value, Secret) else value) for key, value in table.headers.items()
    )
    if table.source == "http":
        parts = urlsplit(table.url)
        origin = f"{parts.scheme}://{parts.netloc}"
        connection = Connection(Address(name=title, base_url=origin, headers=headers, connect=seconds))
        lookup = Lookup(path=parts.path or "/", parameters=table.parameters, field=table.field)
        return HttpFeature(name, connection, lookup)
    connection = Connection(Address(name=title, base_url=table.url, headers=headers, connect=seconds))
    return FeastFeature(name, connection, table.entities, table.features)
