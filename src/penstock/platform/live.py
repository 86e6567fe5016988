"""The configuration that runs, and how another takes its place without a request being lost.

A changed file is read and validated whole, and everything is built from it beside what runs. Then new requests are
given the new parts, while those in flight end on the old ones; providers that are no longer named are closed after
their last answer. Whatever is wrong refuses the reload, and the old configuration goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from penstock.audit.record import SYSTEM, Event
from penstock.clock import SYSTEM_CLOCK
from penstock.config import AppFolder
from penstock.config.differences import Difference, differences
from penstock.errors import ConfigError, PenstockError
from penstock.gateway.pipeline import Pipeline
from penstock.gateway.services import Tell
from penstock.platform.configured import Configured, configure, prompt_of, take_over
from penstock.platform.lasting import Lasting
from penstock.platform.workers.peers import Peers

logger = logging.getLogger(__name__)

PROMPT = "prompts/answer.md"
SHOWN = 12
"""Characters of a prompt's digest that tell it from another."""

TAKEN = b"taken over"

OnSwitch = Callable[[Configured], None]


class LiveConfiguration:
    """`gateway.services.Configuration` over the parts of one process. `current` is what new requests get."""

    def __init__(
        self, folder: AppFolder, lasting: Lasting, on_switch: OnSwitch, peers: Peers | None = None
    ) -> None:
        """Raises `ConfigError`."""
        self._lasting = lasting
        self._on_switch = on_switch
        self._peers = peers
        self._lock = asyncio.Lock()
        self._older: list[Pipeline] = []
        self._retiring: set[asyncio.Task[None]] = set()
        self.current = configure(folder, lasting, self, peers)
        self.loaded_us = SYSTEM_CLOCK.now_us()

    async def differences(self) -> tuple[Difference, ...]:
        """Raises `ConfigError` for a file that is wrong."""
        return (await asyncio.to_thread(self._read))[1]

    async def reload(self, tell: Tell) -> tuple[Difference, ...]:
        """Raises `ConfigError`, and what `tell` raises: then nothing has changed.

        The other workers follow; one that cannot is named in the error.
        """
        changes = await self._reload(tell)
        if self._peers is not None:
            told = await self._peers.ask("reload")
            problems = [f"worker {number}: {error.decode()}" for number, error in told.items() if error != TAKEN]
            if problems:
                raise ConfigError(
                    f"Not all workers took the configuration over: {'; '.join(problems)}",
                    hint="Reload again; if it stays so, restart Penstock.",
                )
        return changes

    async def reload_for_peer(self) -> bytes:
        """Follows another worker, which has put it on record. `TAKEN`, or what went wrong."""

        async def tell(changes: tuple[Difference, ...]) -> None:
            pass

        try:
            await self._reload(tell)
        except PenstockError as error:
            return str(error).encode()
        return TAKEN

    async def _reload(self, tell: Tell) -> tuple[Difference, ...]:
        async with self._lock:
            try:
                folder, changes = await asyncio.to_thread(self._read)
                refuse_fixed(changes)
                made = await self._make(folder, changes, tell)
            except PenstockError as error:
                logger.error("the configuration was not read again, and the old one goes on: %s", error)
                raise
            self._older = [each for each in self._older if each.running]
            self._older.append(self.current.services.pipeline)
            self.current = made
            self.loaded_us = SYSTEM_CLOCK.now_us()
            self._on_switch(made)
            self._retire()
        logger.info("the configuration was read again: %s", ", ".join(each.key for each in changes) or "no changes")
        return changes

    async def reload_on_signal(self) -> None:
        """For a reload that nobody waits for: what goes wrong is in the log."""

        async def tell(changes: tuple[Difference, ...]) -> None:
            await self._lasting.access.audit.record(reload_event(self.current.folder.name, changes), SYSTEM)

        try:
            await self.reload(tell)
        except PenstockError:
            pass  # it was logged
        except Exception:
            logger.exception("the configuration was not read again, and the old one goes on")

    async def close(self) -> None:
        """Stops waiting for the last answers of providers that are not used any more; their pool closes them."""
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)

    def _read(self) -> tuple[AppFolder, tuple[Difference, ...]]:
        running = self.current.folder
        folder = running.read_again()
        if folder.data != running.data:
            raise ConfigError(
                f"The data folder would be {folder.data}, and it is {running.data} while the server runs.",
                hint="Restart Penstock to move it.",
            )
        changes = differences(running.settings, folder.settings)
        if self.current.app is not None:
            before, after = self.current.app.prompt.digest[:SHOWN], prompt_of(folder).digest[:SHOWN]
            if before != after:
                changes += (Difference(key=PROMPT, running=before, file=after, restart=False),)
        return folder, changes

    async def _make(self, folder: AppFolder, changes: tuple[Difference, ...], tell: Tell) -> Configured:
        try:
            made = configure(folder, self._lasting, self, self._peers)
            if made.app is not None:
                await made.app.warm()
            await tell(changes)
            take_over(folder.settings, self._lasting)
        except BaseException:
            self._retire()
            raise
        return made

    def _retire(self) -> None:
        work = self._lasting.models.retire(self.current.services.registry, tuple(self._older))
        task = asyncio.create_task(work)
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)


def refuse_fixed(changes: tuple[Difference, ...]) -> None:
    """Raises `ConfigError` that names every setting which needs a restart."""
    fixed = [each.key for each in changes if each.restart]
    if fixed:
        raise ConfigError(
            f"{' and '.join(fixed)} cannot change while the server runs.",
            hint="Restart Penstock to take the file over, or put the old value back and reload.",
        )


def reload_event(name: str, changes: tuple[Difference, ...]) -> Event:
    return Event(
        action="config.reloaded",
        target=name,
        before={each.key: each.running for each in changes},
        after={each.key: each.file for each in changes},
    )
