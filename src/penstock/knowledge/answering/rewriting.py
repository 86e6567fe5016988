"""The next query in the words of a model: what to search for when the first search did not find enough."""

from __future__ import annotations

import asyncio
import contextlib

from penstock.exchange import Exchange, Parameters
from penstock.knowledge.answering.modelled import Model, merged, passage_value, span, text_of
from penstock.knowledge.evidence import Evidence
from penstock.prompts.answer import answer_values
from penstock.prompts.template import Prompt

LONGEST = 300
SHOWN = 3
"""Sentences that the model sees of what was found."""


class Rewriter:
    """Asks a model for a query, and waits for it no longer than `seconds`."""

    def __init__(self, model: Model, prompt: Prompt, seconds: float) -> None:
        self._model = model
        self._prompt = prompt
        self._seconds = seconds

    async def query(self, exchange: Exchange, question: str, evidence: Evidence) -> str:
        """One line to search for; "" where the model wrote nothing new in time. Raises what the model raises."""
        found = [
            passage_value(number, ranked.sentence.hit, ranked.sentence.text)
            for number, ranked in enumerate(evidence.ranked[:SHOWN], start=1)
        ]
        messages = self._prompt.render(answer_values(self._model.app, question, found))
        asked = self._model.child(exchange, messages, merged(Parameters(), self._prompt))
        with span(exchange.tracer, "rewrite") as recorded:
            text = ""
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._seconds):
                    text = await text_of(self._model.call, asked)
            query = next((line.strip(" \t\"'“”-*") for line in text.splitlines() if line.strip()), "")[:LONGEST]
            if recorded is not None:
                recorded.set(query=query)
        return "" if query.casefold() == question.casefold() else query
