"""What other processes announce over PostgreSQL (LISTEN and NOTIFY)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from penstock.errors import ConfigError
from penstock.storage.postgres import address_of

AGAIN_SECONDS = 1.0

logger = logging.getLogger(__name__)


class Notices:
    """Hears one channel. What is announced while the connection is lost is missed: do not rely on it."""

    def __init__(self, url: str, channel: str, on_notice: Callable[[str], None]) -> None:
        self._address = address_of(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._channel = channel
        self._on_notice = on_notice
        self.listening = asyncio.Event()

    async def listen(self) -> None:
        """Calls `on_notice` with each message, until it is cancelled; connects anew when the connection is lost."""
        try:
            import psycopg
        except ImportError as error:
            raise ConfigError(
                "PostgreSQL needs its driver, which is not installed.",
                hint="Install it with: pip install 'penstock[postgres]'",
            ) from error
        listen = psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(self._channel))
        while True:
            try:
                connection = await psycopg.AsyncConnection.connect(self._address, autocommit=True)
                async with connection:
                    await connection.execute(listen)
                    self.listening.set()
                    async for notice in connection.notifies():
                        self._on_notice(notice.payload)
            except psycopg.Error as error:
                logger.warning("PostgreSQL cannot be listened to: %s", str(error).strip().partition("\n")[0])
            finally:
                self.listening.clear()
            await asyncio.sleep(AGAIN_SECONDS)
