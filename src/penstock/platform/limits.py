"""The limits of a server: its rules, where they are counted, and who is told of warnings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from typing import Any

from msgspec import Struct

from penstock.access.limits import Limits
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


async def open_limits(folder: AppFolder, access: Access, stack: AsyncExitStack) -> Limits:
    """Limits that hold in this process and remember what was used; `stack` closes them."""
    settings = folder.settings
    webhook = Webhook(settings.events.webhook, settings.events.secret) if settings.events.webhook else None
    store = LocalStore(folder.data / FILE, Announcer(webhook))
    stack.push_async_callback(store.close)
    start(stack, store.keep_on_disk())
    if webhook is not None:
        start(stack, webhook.run())
    return Limits(store, settings.limits, AccessLimits(access))


def start(stack: AsyncExitStack, work: Coroutine[Any, Any, None]) -> None:
    """Runs work beside everything else, until `stack` ends it."""
    task = asyncio.create_task(work)

    async def end() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(end)
