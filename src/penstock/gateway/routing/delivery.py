"""What of an answer was given out: once some of it was, nothing is asked a second time."""

from __future__ import annotations

import msgspec

from penstock.exchange import Chunk, Exchange, Usage
from penstock.gateway.routing.attempt import Attempt, Detour
from penstock.gateway.routing.content import is_blank, shows
from penstock.gateway.routing.estimate import usage_of


class Delivery:
    """One answer on its way to the caller. `size` is in characters; `names` says whether to tell who answers."""

    __slots__ = ("_blanks", "_exchange", "_names", "_told", "opened", "size", "usage")

    def __init__(self, exchange: Exchange, *, names: bool) -> None:
        self._exchange = exchange
        self._names = names
        self._told: Attempt | Detour | None = None
        self._blanks: list[Chunk] = []
        self.opened = False
        self.size = 0
        self.usage: Usage | None = None

    def begun(self, source: Attempt | Detour, chunk: Chunk) -> Chunk | None:
        """A chunk that came before any content did, to be given out; `None` for one that would be said twice."""
        if shows(chunk):
            self.opened = True
            source.opened()
        elif self._blanks and self._told is not source and chunk.usage is None and is_blank(chunk):
            return None  # an attempt before this one has said that an answer begins
        else:
            self._blanks.append(chunk)
        if self._told is not source:
            self._told = source
            if self._names and chunk.served_by is None:
                return msgspec.structs.replace(chunk, served_by=source.name)
        return chunk

    @property
    def is_text(self) -> bool:
        """Whether the usage of the answer can be reckoned from its text."""
        return self._exchange.operation in ("chat", "complete")

    @property
    def stands(self) -> bool:
        """Whether something of the answer was given out, so that it stands or breaks."""
        return self.opened or not all(is_blank(chunk) for chunk in self._blanks)

    def reckoned(self) -> Usage:
        """The usage of an answer that broke off or was not counted: what is known, and the rest from its length."""
        reckoned = usage_of(self._exchange, self.size)
        counted = self.usage
        if counted is None:
            return reckoned
        if counted.completion_tokens >= reckoned.output:
            return counted
        return msgspec.structs.replace(counted, output=reckoned.output, cost_nanos=None, estimated=True)
