"""An app's configuration: `penstock.toml`, read into typed settings."""

from penstock.config.folder import AppFolder, load
from penstock.config.secret import Secret
from penstock.config.settings import (
    AppSettings,
    KnowledgeSettings,
    ModelSettings,
    ServerSettings,
    Settings,
    TraceSettings,
)

__all__ = [
    "AppFolder",
    "AppSettings",
    "KnowledgeSettings",
    "ModelSettings",
    "Secret",
    "ServerSettings",
    "Settings",
    "TraceSettings",
    "load",
]
