"""What an app searches for first: its question in the words of a model, where the configuration wants that.

    a follow-up     → a question that stands alone, of the conversation before it
    the question    → other phrasings of it, which are searched together with it

A model that fails or is late changes nothing: then the question is searched for as it was asked, with the words of
the conversation that it leans on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from typing import Literal

from msgspec import Struct

from penstock.errors import PenstockError
from penstock.exchange import Exchange, Message, Parameters
from penstock.knowledge.answering.asked import last_question, question_of
from penstock.knowledge.answering.modelled import Model, merged, span, text_of
from penstock.knowledge.question import LONGEST_TURN
from penstock.knowledge.rewording import lines_of, other_phrasings
from penstock.prompts.answer import followup_prompt, followup_values

Rewrite = Literal["follow-ups", "phrasings", "rounds"]

TURNS = 6
"""Messages before a follow-up that the model sees."""

LONGEST = 500
"""Characters of a question that stands alone; a model that writes more has not understood what it was asked."""


class Worded(Struct, frozen=True):
    """A question that stands alone, and other phrasings of it."""

    question: str
    others: tuple[str, ...] = ()


class Wording:
    """Asks a model for what `rewrites` names, for at most `seconds` in all."""

    def __init__(self, model: Model, rewrites: Collection[Rewrite], seconds: float) -> None:
        self._model = model
        self._rewrites = rewrites
        self._seconds = seconds
        self._prompt = followup_prompt()

    async def of(self, exchange: Exchange) -> Worded:
        """Raises what `question_of` raises; a model that fails is passed over, and its span says so."""
        until = time.monotonic() + self._seconds
        question = question_of(exchange)
        turns = turns_before(exchange.messages)
        if "follow-ups" in self._rewrites and turns:
            question = await self._standing_alone(exchange, turns, until) or question
        if "phrasings" not in self._rewrites:
            return Worded(question)
        return Worded(question, await self._phrasings(exchange, question, until))

    async def _standing_alone(self, exchange: Exchange, turns: Sequence[Message], until: float) -> str:
        """The last question without what it leans on; "" where the model wrote none in time."""
        asked = last_question(exchange)
        messages = self._prompt.render(followup_values(asked, turns))
        with span(exchange.tracer, "rewrite", question=asked) as recorded:
            child = self._model.child(exchange, messages, merged(Parameters(), self._prompt))
            try:
                async with asyncio.timeout(until - time.monotonic()):
                    text = await text_of(self._model.call, child)
            except (PenstockError, TimeoutError) as error:
                if recorded is not None:
                    recorded.set(failed=str(error) or f"no answer within {self._seconds:g} s")
                return ""
            question = next(lines_of(text, ""), "")
            question = question if len(text.strip()) <= LONGEST else ""
            if recorded is not None:
                recorded.set(query=question)
            return question

    async def _phrasings(self, exchange: Exchange, question: str, until: float) -> tuple[str, ...]:
        with span(exchange.tracer, "rewrite", question=question) as recorded:
            child = self._model.child(exchange, (), Parameters())
            others = await other_phrasings(self._model.call, child, question, until - time.monotonic())
            if recorded is not None:
                recorded.set(queries=list(others))
            return others


def turns_before(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The last turns before the last question, cut where they are long; none where it is the first."""
    users = [at for at, message in enumerate(messages) if message.role == "user" and message.text.strip()]
    earlier = messages[: users[-1]] if users else ()
    said = [each for each in earlier if each.role in ("user", "assistant") and each.text.strip()]
    if not any(each.role == "user" for each in said):
        return ()
    return tuple(Message(each.role, each.text[:LONGEST_TURN]) for each in said[-TURNS:])
