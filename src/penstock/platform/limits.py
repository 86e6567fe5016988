"""The limits of a server: its rules, where they are counted, and who is told of warnings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from msgspec import Struct

from penstock.access.limits import Limits
from penstock.access.limits.base import LimitStore
from penstock.access.limits.coordinated import CoordinatorStore
from penstock.access.limits.local import FILE, LocalStore
from penstock.access.limits.refusal import capital, shown, who_of
from penstock.access.limits.rules import OwnLimit
from penstock.access.limits.values import DIMENSIONS, Crossing
from penstock.access.limits.webhook import Webhook
from penstock.access.limits.windows import FOREVER
from penstock.access.store import Access
from penstock.config import AppFolder
from penstock.exchange import Principal

logger = logging.getLogger(__name__)

WARNING_EVENT = "limit.warning"


class LimitWarning(Struct, frozen=True):
    """What the webhook gets. Amounts are in the dimension's unit, nano-dollars for `usd`; times in microseconds."""

    limit: str
    scope: str
    project_id: str
    dimension: str
    window: str
    used: int
    amount: int
    resets_us: int | None
    message: str


class AccessLimits:
    """The limits that keys and projects carry (`rules.OwnLimits`)."""

    def __init__(self, access: Access) -> None:
        self._access = access

    @property
    def version(self) -> int:
        return self._access.version

    def of(self, principal: Principal) -> Iterator[OwnLimit]:
        for each in self._access.keys.limits_of(principal.key_id):
            yield OwnLimit(f"key {principal.name}", each)
        for each in self._access.projects.limits_of(principal.project_id):
            yield OwnLimit(f"project {principal.project_id}", each)


class Announcer:
    """Tells the log, and the webhook where there is one, that a limit is nearly reached."""

    def __init__(self, webhook: Webhook | None) -> None:
        self._webhook = webhook

    def __call__(self, crossing: Crossing) -> None:
        spec = crossing.spec
        used, amount = shown(spec, crossing.used), shown(spec, spec.amount)
        message = f"{capital(who_of(spec))} has used {used} of {amount} ({spec.rule})."
        logger.warning("%s", message)
        if self._webhook is not None:
            warning = LimitWarning(
                limit=spec.rule,
                scope=spec.scope,
                project_id=spec.project_id,
                dimension=DIMENSIONS[spec.dimension],
                window=spec.window,
                used=crossing.used,
                amount=spec.amount,
                resets_us=None if crossing.ends_us >= FOREVER else crossing.ends_us,
                message=message,
            )
            self._webhook.send(WARNING_EVENT, warning)


async def open_limits(
    folder: AppFolder, access: Access, stack: AsyncExitStack, coordinator: Path | None = None
) -> Limits:
    """The limits of this process; `stack` closes them.

    What is used is counted in the configured PostgreSQL database, by the `Coordinator` at a socket where this is a
    worker process of several, or else in a file of the data folder. Raises `Unavailable`, `ConfigError` or
    `StorageError` where that cannot be reached.
    """
    store: LimitStore
    if folder.settings.database.url is not None:
        from penstock.access.limits.postgres import PostgresStore

        store = PostgresStore(folder.settings.database.url.reveal(), open_announcer(folder, stack))
        stack.push_async_callback(store.close)
        await store.connect()
    elif coordinator is not None:
        store = CoordinatorStore(coordinator)
        stack.push_async_callback(store.close)
    else:
        store = open_counts(folder, stack)
    return Limits(store, folder.settings.limits, AccessLimits(access))


def open_counts(folder: AppFolder, stack: AsyncExitStack) -> LocalStore:
    """The counts in the data folder, for one process: the only one, or the one that coordinates workers."""
    store = LocalStore(folder.data / FILE, open_announcer(folder, stack))
    stack.push_async_callback(store.close)
    start(stack, store.keep_on_disk())
    return store


def open_announcer(folder: AppFolder, stack: AsyncExitStack) -> Announcer:
    events = folder.settings.events
    webhook = Webhook(events.webhook, events.secret) if events.webhook else None
    if webhook is not None:
        start(stack, webhook.run())
    return Announcer(webhook)


def start(stack: AsyncExitStack, work: Coroutine[Any, Any, None]) -> None:
    """Runs work beside everything else, until `stack` ends it."""
    task = asyncio.create_task(work)

    async def end() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(end)
