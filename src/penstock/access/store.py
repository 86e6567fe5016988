"""Access as a whole: one database, and what stands on it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.access import repository
from penstock.access.declared import declared_keys, declared_projects
from penstock.access.directory import Directory
from penstock.access.hashing import Pepper, open_pepper
from penstock.access.keys import Keys
from penstock.access.projects import Projects
from penstock.access.sessions import Sessions
from penstock.access.shared import SharedState
from penstock.audit.log import Audit
from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.config import AppFolder
from penstock.config.access import KeySettings, ProjectSettings
from penstock.config.oidc import OidcSettings
from penstock.config.secret import Secret
from penstock.errors import ConfigError, PenstockError
from penstock.storage.database import Database
from penstock.storage.location import open_database

if TYPE_CHECKING:
    from penstock.access.oidc.flow import OidcFlow

SCHEMA = "access"

logger = logging.getLogger(__name__)


class Access:
    """Who may do what, and who did. `follow` must run wherever several processes share the database."""

    def __init__(self, database: Database, pepper: Pepper, clock: Clock = SYSTEM_CLOCK) -> None:
        """Raises `ConfigError` where the keys of the database were made under another pepper."""
        self._database = database
        self._pepper = pepper
        check_pepper(database, pepper)
        self._directory = Directory(pepper, clock)
        self._shared = SharedState(database, self._directory, clock)
        self.audit = Audit(database, clock)
        self.keys = Keys(self._shared, pepper, clock)
        self.projects = Projects(self._shared, clock)
        self.sessions = Sessions(self._shared, pepper, self.audit, clock)
        self.oidc: OidcFlow | None = None
        self._clock = clock
        self._shared.load()

    @classmethod
    def open(
        cls, location: Path | str, folder: Path, pepper: Secret | None = None, clock: Clock = SYSTEM_CLOCK
    ) -> Access:
        """Opens or creates the database at `location`; `folder` has the pepper where none is given."""
        database = open_database(location, SCHEMA)
        try:
            return cls(database, open_pepper(folder, pepper), clock)
        except BaseException:
            database.close()
            raise

    @property
    def version(self) -> int:
        """Grows with every change of keys and projects that this process knows of."""
        return self._directory.version

    def declare(self, projects: Mapping[str, ProjectSettings], keys: Mapping[str, KeySettings]) -> None:
        """Takes in what penstock.toml declares, in place of what it declared before.

        Raises `ConfigError`, and then nothing has changed.
        """
        made = [each.id for each in self._directory.projects.values() if each.source == "made"]
        declared = declared_projects(projects, made)
        known = {*made, *(each.id for each in declared)}
        self._directory.declare(declared, declared_keys(keys, known, self._pepper))

    def trust(self, settings: OidcSettings | None) -> None:
        """Lets people sign in with accounts of an issuer, in place of the one before; `None` lets nobody.

        From then on every request needs a key or a session. Raises `ConfigError` where a package is missing.
        """
        if settings is None:
            self.oidc = None
            return
        try:
            from penstock.access.oidc.flow import OidcFlow
        except ImportError:
            raise ConfigError(
                "[access.oidc] needs the packages PyJWT and cryptography.",
                hint="Install them with: pip install 'penstock[oidc]'",
            ) from None
        self.oidc = OidcFlow(settings, self._pepper, self._clock)
        self._directory.required = True

    async def follow(self) -> None:
        """Keeps up with what other processes change, until it is cancelled."""
        await self._shared.follow()

    def abandon(self) -> None:
        """Closes the database at once, without the times of last use."""
        self._database.close()

    async def close(self) -> None:
        """Writes what is still to be written and closes the database."""
        try:
            await self._shared.upgrade()
            await self._shared.note_use()
        except PenstockError as error:
            logger.error("the times of last use could not be written: %s", error)
        self._database.close()


def check_pepper(database: Database, pepper: Pepper) -> None:
    known = database.submit(lambda connection: repository.set_pepper_check(connection, pepper.check)).result()
    if known != pepper.check:
        raise ConfigError(
            f"The keys in {database.name} were made under another pepper, so none of them would work.",
            hint="Restore the file 'pepper' of the data folder, or the variable that [access] pepper names.",
        )


def ever_had_keys(location: Path | str) -> bool:
    """Whether a key was ever made in a database, without opening it for work."""
    if isinstance(location, Path) and not (location / f"{SCHEMA}.db").exists():
        return False
    database = open_database(location, SCHEMA)
    try:
        with database.read() as connection:
            return repository.any_key(connection)
    finally:
        database.close()


def open_access(folder: AppFolder) -> Access:
    """The access of an app, with what its file declares.

    Raises `ConfigError` for what is declared wrongly, and what a database raises that cannot be opened.
    """
    settings = folder.settings
    access = Access.open(folder.database, folder.data, settings.access.pepper)
    try:
        access.declare(settings.projects, settings.keys)
        access.trust(settings.access.oidc)
    except BaseException:
        access.abandon()
        raise
    return access


def is_keyed(folder: AppFolder) -> bool:
    """Whether an app's requests need a key."""
    return bool(folder.settings.keys) or folder.settings.access.oidc is not None or ever_had_keys(folder.database)
