"""Answers that a model writes in quotes alone: it chooses, and cannot write anything else."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from penstock.errors import UnsupportedFeature
from penstock.exchange import Chunk
from penstock.knowledge.answering.asked import NOT_SAID, Asked
from penstock.knowledge.answering.citations import Quotation, verified
from penstock.knowledge.answering.modelled import Model, ended
from penstock.knowledge.answering.quotes import MOST_SENTENCES, QuoteReader, quotable, quote_grammar, quote_schema
from penstock.knowledge.base import KnowledgeBase
from penstock.knowledge.values import Hit
from penstock.prompts.template import Prompt

Holding = Literal["grammar", "schema"]
"""How a model is held to quotes: by a grammar of them, or by a schema that lists the sentences."""


FEW = 3
"""Sentences that a model which is not known to ground well may choose from."""


class Held(Struct, frozen=True):
    """How a model is held to quotes, and how much is left to it.

    A model that is not known to ground well says of everything that the documents do not say, once it may, and
    chooses badly among many sentences: it gets few, and whether there is an answer is for the evidence alone.
    """

    by: Holding
    may_decline: bool

    @property
    def sentences(self) -> int:
        return MOST_SENTENCES if self.may_decline else FEW


class Chosen:
    """What a model has chosen so far, and how its answer ended."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.cited: list[Quotation] = []
        self.length = len(asked.preface)
        self.written = ""
        self.end = Chunk(finish_reason="stop")

    @property
    def broken_off(self) -> bool:
        """Whether the model was cut off while it did something other than say that the documents do not."""
        return self.end.finish_reason == "length" and not self.written.lstrip().startswith(NOT_SAID[:4])


class Constrained:
    """Lets a model choose quotes. Each is given out when it is whole and was found in its document."""

    def __init__(self, model: Model, prompt: Prompt, knowledge: KnowledgeBase, held: Held) -> None:
        self._model = model
        self._prompt = prompt
        self._knowledge = knowledge
        self._held = held

    async def write(self, asked: Asked, passages: Sequence[Hit]) -> AsyncGenerator[Chunk, None]:
        """Quotes with their citations; that the documents do not say where the model chose none.

        Raises `UnsupportedFeature` where the model cannot be held to anything.
        """
        chosen = Chosen(asked)
        if asked.preface:
            yield Chunk(text=asked.preface)
        try:
            async with contextlib.aclosing(self._quotations(asked, passages, chosen)) as quotations:
                async for quotation in quotations:
                    if (piece := await self._piece(chosen, quotation)) is not None:
                        yield piece
        except UnsupportedFeature as error:
            raise self._cannot(error) from error
        if not chosen.cited and chosen.broken_off:
            for quotation in asked.quotations[:1]:  # cut off inside its first quote: the best one is whole
                if (piece := await self._piece(chosen, quotation)) is not None:
                    yield piece
        if not chosen.cited:
            yield Chunk(text=NOT_SAID)
            asked = replace(asked, answered=False)
        grounded = 1.0 if chosen.cited else None
        yield replace(chosen.end, grounding=replace(asked.ended(chosen.cited), grounded=grounded))

    async def _quotations(
        self, asked: Asked, passages: Sequence[Hit], chosen: Chosen
    ) -> AsyncGenerator[Quotation, None]:
        """What the model quotes, each quotation when it is whole."""
        sentences = quotable(asked.evidence, passages, self._held.sentences)
        listed = self._held.by == "schema"
        unanswered = NOT_SAID if self._held.may_decline else ""
        constraint = quote_schema(sentences) if listed else quote_grammar(sentences, unanswered)
        reader = QuoteReader(sentences, listed=listed)
        sent = self._model.sent(asked.exchange, self._prompt, passages, constraint)
        async with contextlib.aclosing(self._model.chunks(sent)) as chunks:
            async for chunk in chunks:
                chosen.end, chosen.written = ended(chosen.end, chunk), chosen.written + chunk.text
                for quotation in reader.feed(chunk.text):
                    yield quotation
        for quotation in reader.end():
            yield quotation
        if reader.unreadable and chosen.end.finish_reason != "length":
            raise UnsupportedFeature("it did not follow the schema.")

    async def _piece(self, chosen: Chosen, quotation: Quotation) -> Chunk | None:
        """A quote with its citation; `None` for one that is not in its document any more, or was given already."""
        if quotation.place in {each.place for each in chosen.cited}:
            return None
        gap = " " if chosen.cited else ""
        text = f"{gap}“{quotation.sentence.text}” [{quotation.number}]"
        placed = replace(quotation, answer_start=chosen.length + len(gap), answer_end=chosen.length + len(text))
        found = await verified(self._knowledge, [placed], chosen.asked.reader)
        if not found:
            return None
        chosen.cited += found
        chosen.length += len(text)
        return Chunk(text=text, grounding=chosen.asked.grounding("partial", found))

    def _cannot(self, error: UnsupportedFeature) -> UnsupportedFeature:
        return UnsupportedFeature(
            f"app {self._model.app!r} answers only in quotes, and its model {self._model.name!r} cannot be held to"
            f" them: {error.message}",
            hint='Use a local model or one that follows JSON schemas, or set mode = "quote" under [app].',
            param="model",
        )
