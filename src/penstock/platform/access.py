"""Access of an app folder: its database, its pepper, and what its file declares."""

from __future__ import annotations

from penstock.access.store import Access
from penstock.config import AppFolder


def open_access(folder: AppFolder) -> Access:
    """Opened and filled. Raises `ConfigError` for what the file declares wrongly, and what a database raises."""
    settings = folder.settings
    access = Access.open(folder.data, folder.data, settings.access.pepper)
    try:
        access.declare(settings.projects, settings.keys)
    except BaseException:
        access.abandon()
        raise
    return access
