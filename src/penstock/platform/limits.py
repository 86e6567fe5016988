"""The limits of a server: its rules, and where they are counted."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack

from penstock.access.limits import Limits
from penstock.access.limits.local import LocalStore
from penstock.access.limits.refusal import shown, who_of
from penstock.access.limits.values import Crossing
from penstock.config import AppFolder

logger = logging.getLogger(__name__)

FILE = "limits.counts"


async def open_limits(folder: AppFolder, stack: AsyncExitStack) -> Limits:
    """Limits that hold in this process and remember what was used; `stack` closes them."""
    store = LocalStore(folder.data / FILE, on_crossing=log_crossing)
    stack.push_async_callback(store.close)
    return Limits(store, folder.settings.limits)


def log_crossing(crossing: Crossing) -> None:
    spec = crossing.spec
    logger.warning(
        "%s: %s has used %s of %s", spec.rule, who_of(spec), shown(spec, crossing.used), shown(spec, spec.amount)
    )
