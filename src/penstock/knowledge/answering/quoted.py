"""Answers that no model writes: the best sentences as they stand, and that the documents do not say."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from msgspec.structs import replace

from penstock.exchange import Chunk, FinishReason
from penstock.knowledge.answering.asked import NO_MODEL, NOT_SAID, Asked
from penstock.knowledge.answering.citations import Quotation, within


async def quote(asked: Asked) -> AsyncGenerator[Chunk, None]:
    """The best sentences, each with the number of its citation."""
    kept = within(asked.exchange.parameters.max_tokens, asked.quotations)
    text = asked.preface
    if text:
        yield Chunk(text=text)
    cited: list[Quotation] = []
    for quotation in kept:
        piece = f"{' ' if cited else ''}{quotation.sentence.text} [{quotation.number}]"
        start, text = len(text) + bool(cited), text + piece
        cited.append(replace(quotation, answer_start=start, answer_end=len(text)))
        yield Chunk(text=piece)
    finish: FinishReason = "stop" if len(kept) == len(asked.quotations) else "length"
    grounding = replace(asked.grounding("answer", cited), grounded=1.0 if cited else None)
    yield Chunk(finish_reason=finish, usage=NO_MODEL, grounding=grounding)


async def not_said(asked: Asked) -> AsyncGenerator[Chunk, None]:
    """That the documents do not say, and where they come nearest."""
    text = f"{NOT_SAID} The nearest passages:" if asked.quotations else NOT_SAID
    cited = []
    for quotation in asked.quotations:
        start = len(text) + 1
        text += f" [{quotation.number}]"
        cited.append(replace(quotation, answer_start=start, answer_end=len(text)))
    yield Chunk(text=text)
    yield Chunk(finish_reason="stop", usage=NO_MODEL, grounding=asked.grounding("answer", cited))
