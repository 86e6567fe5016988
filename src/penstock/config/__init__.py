"""An app's configuration: `penstock.toml`, read into typed settings."""

from penstock.config.access import AccessSettings, KeySettings, ProjectSettings
from penstock.config.app import AppSettings
from penstock.config.folder import AppFolder, load
from penstock.config.knowledge import KnowledgeSettings
from penstock.config.models import ModelSettings
from penstock.config.secret import Secret
from penstock.config.server import ServerSettings
from penstock.config.settings import Settings
from penstock.config.traces import TraceSettings

__all__ = [
    "AccessSettings",
    "AppFolder",
    "AppSettings",
    "KeySettings",
    "KnowledgeSettings",
    "ModelSettings",
    "ProjectSettings",
    "Secret",
    "ServerSettings",
    "Settings",
    "TraceSettings",
    "load",
]
