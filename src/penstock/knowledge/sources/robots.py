"""What a site asks of robots (RFC 9309): which addresses to leave alone, and how long to wait between two."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from yarl import URL

from penstock.knowledge.sources.visits import Visit, Visitor, left, unknown

if TYPE_CHECKING:
    from protego import Protego

MOST_BYTES = 500 << 10
"""As much of a robots.txt as RFC 9309 has everybody read."""
LONGEST_DELAY = 30.0


class Robots:
    """The robots.txt of each host, read once."""

    def __init__(self, visitor: Visitor, user_agent: str) -> None:
        self._visitor = visitor
        self._agent = user_agent.partition("/")[0].strip()
        self._rules: dict[URL, asyncio.Task[Protego | str]] = {}

    async def check(self, url: URL) -> Visit | None:
        """What comes of asking for a page that must not be asked for, at all or now; `None` where it may."""
        rules = await self._of(url.origin())
        if isinstance(rules, str):
            return unknown(url, rules)
        if rules.can_fetch(str(url), self._agent):
            return None
        return left(url, f"robots.txt of {url.host} does not allow it.")

    async def _of(self, origin: URL) -> Protego | str:
        if origin not in self._rules:
            self._rules[origin] = asyncio.create_task(self._read(origin))
        return await asyncio.shield(self._rules[origin])

    async def _read(self, origin: URL) -> Protego | str:
        """The rules, or why they cannot be known. No robots.txt (any 4xx) permits everything."""
        from protego import Protego

        visit = await self._visitor.visit(origin / "robots.txt")
        text = ""
        if visit.file is not None:
            with visit.file.open("rb") as file:
                text = file.read(MOST_BYTES).decode("utf-8", "replace")
            visit.file.unlink()
        elif visit.outcome == "unknown" and not visit.refused:
            return f"robots.txt of {origin.host} cannot be read: {visit.reason}"
        rules = Protego.parse(text)
        delay = rules.crawl_delay(self._agent)
        if delay:
            self._visitor.pace.interval = max(self._visitor.pace.interval, min(float(delay), LONGEST_DELAY))
        return rules
