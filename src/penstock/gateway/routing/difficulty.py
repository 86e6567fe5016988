"""Whether a request is easy enough for a small model, told from its text in a few microseconds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from penstock.config.routing import DifficultySettings
from penstock.exchange import Exchange
from penstock.gateway.routing.classifier import chance
from penstock.gateway.routing.estimate import characters_of

if TYPE_CHECKING:
    from penstock.gateway.routing.route import Route

CODE = re.compile(
    r"```|\b(?:def|class|import|function|const|SELECT|INSERT|#include|public static)\b.*[({;:]|[;{}]\s*$|</\w+>|=>",
    re.MULTILINE,
)
MATHS = re.compile(
    r"\\(?:frac|sum|int|sqrt)|\$[^$\n]+\$|\d\s*[-+*/^=]\s*\d|[∑∫√≤≥≠π]"
    r"|(?i:\b(?:prove|derivative|integral|equation|theorem|probability that|how (?:many|much)|solve for)\b)"
)
LOOKED_AT = 20_000
"""Characters that are searched for signs of code and maths."""


class Difficulty:
    """Tells easy requests from others. `easy` answers the former."""

    __slots__ = ("_estimate", "_settings", "easy")

    def __init__(self, settings: DifficultySettings, easy: Route) -> None:
        self._settings = settings
        self._estimate = chance if settings.by == "classifier" else None
        self.easy = easy

    def sends_away(self, exchange: Exchange) -> bool:
        """Whether the request is easy. Only conversations and completions can be; nothing else has a difficulty."""
        if exchange.operation not in ("chat", "complete"):
            return False
        easy = self._is_easy(exchange)
        if exchange.tracer is not None:
            word = "easy" if easy else "hard"
            with exchange.tracer.span("difficulty") as span:
                span.set(**{"penstock.difficulty": word})
        return easy

    def _is_easy(self, exchange: Exchange) -> bool:
        settings = self._settings
        if exchange.parameters.tools and not settings.tools:
            return False
        turns = sum(message.role == "user" for message in exchange.messages)
        if turns > settings.max_turns:
            return False
        if self._estimate is not None:
            return self._estimate(exchange) >= settings.threshold
        if characters_of(exchange) > settings.max_characters:
            return False
        text = exchange.prompt or "\n".join(message.text for message in exchange.messages)
        if not settings.code and CODE.search(text[:LOOKED_AT]):
            return False
        return settings.maths or MATHS.search(text[:LOOKED_AT]) is None
