"""A question in other words of a model, so that passages are found which say the same differently."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

from penstock.errors import PenstockError
from penstock.exchange import Exchange, Parameters
from penstock.knowledge.answering.modelled import text_of
from penstock.prompts.answer import answer_values, phrasings_prompt
from penstock.seams import Call

MOST = 3
LONGEST = 300
"""Characters of a phrasing."""

LISTED = re.compile(r"^\s*(?:[-*•–]\s+|\(?\d{1,2}[.):]\s*)?[\"'“”]*")


async def other_phrasings(call: Call, exchange: Exchange, question: str, seconds: float) -> tuple[str, ...]:
    """At most `MOST` other ways to ask the question; none where the model fails or takes longer than `seconds`.

    `exchange` says who asks, and which model.
    """
    prompt = phrasings_prompt()
    asked = exchange.replace(
        operation="chat",
        messages=prompt.render(answer_values("", question, ())),
        parameters=Parameters(temperature=prompt.settings.temperature, max_tokens=prompt.settings.max_tokens),
    )
    try:
        async with asyncio.timeout(seconds):
            text = await text_of(call, asked)
    except (PenstockError, TimeoutError):
        return ()
    return tuple(lines_of(text, question))[:MOST]


def lines_of(text: str, question: str) -> Iterator[str]:
    """Each line that is no repetition, without what lists put around it."""
    seen = {question.strip().casefold()}
    for line in text.splitlines():
        phrasing = LISTED.sub("", line).strip(" \t\"'“”")[:LONGEST]
        if phrasing and phrasing.casefold() not in seen:
            seen.add(phrasing.casefold())
            yield phrasing
