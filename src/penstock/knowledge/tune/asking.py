"""Questions that a model writes, each about one passage of the documents, which is then what is to be found."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence

from penstock.errors import PenstockError
from penstock.exchange import Exchange, Message, Parameters
from penstock.ids import new_id
from penstock.knowledge.answering.modelled import text_of
from penstock.knowledge.chunking import ChunkOptions, chunk
from penstock.knowledge.terms import STOP_WORDS, terms
from penstock.knowledge.tune.questions import Questions, Span, Text, TuneQuestion, refuse_few
from penstock.seams import Call

ASKED_ABOUT = 60
"""Passages that a model is asked about at most."""

EACH = 2
"""Questions about one passage."""

FEWEST_WORDS = 8
"""Different ones in a passage, so that there is something to ask about."""

FAILURES = 3
"""Passages in a row about which the model fails, after which it is not asked any more."""

SHORTEST, LONGEST = 15, 300
"""Characters of a question."""

SIZE = ChunkOptions(tokens=150)

INSTRUCTION = (
    f"Write {EACH} different questions that the text below answers, as somebody would ask who has not read it: in"
    " other words than the text, and with what it is about named. Write one question a line and nothing else."
)
LISTED = re.compile(r"^\s*(?:[-*•–]\s+|\(?\d{1,2}[.):]\s*|Q\d*:\s*)?[\"'“”*]*")

Told = Callable[[int, int], None]
"""Hears about how many passages of how many the model was asked."""


async def written(call: Call, exchange: Exchange, texts: Sequence[Text], told: Told) -> Questions:
    """Questions about passages spread over all documents. `exchange` says who asks, and which model.

    Raises `ConfigError` for too few, and what the model raises where it fails again and again.
    """
    sampled = sample(texts)
    found: dict[frozenset[str], TuneQuestion] = {}
    failures = 0
    for number, (text, span) in enumerate(sampled):
        told(number, len(sampled))
        try:
            lines = await answer(call, exchange, text.text[span.start : span.end])
        except PenstockError:
            failures += 1
            if failures == FAILURES:
                raise
            continue
        failures = 0
        for question in list(questions_in(lines, text.text[span.start : span.end]))[:EACH]:
            found.setdefault(said(question), TuneQuestion(question, (text.document,), (span,)))
    told(len(sampled), len(sampled))
    questions = Questions(tuple(found.values()), origin="model")
    refuse_few(questions)
    return questions


def sample(texts: Sequence[Text]) -> list[tuple[Text, Span]]:
    """Passages to ask about, in an order that is as good as any and the same in every run.

    A text that stands in several places is nobody's: which of them a question is about could not be said.
    """
    found: dict[str, list[tuple[Text, Span]]] = {}
    for text in texts:
        for each in chunk(text.text, [], SIZE):
            body = text.text[each.start : each.end]
            found.setdefault(" ".join(body.split()), []).append((text, Span(text.document, each.start, each.end)))
    single = {body: places[0] for body, places in found.items() if len(places) == 1 and tells(body)}
    return [single[body] for body in sorted(single, key=digest)[:ASKED_ABOUT]]


def tells(body: str) -> bool:
    """Whether there is enough in a passage to ask about."""
    return len(set(terms(body)) - STOP_WORDS) >= FEWEST_WORDS


def digest(body: str) -> bytes:
    return hashlib.sha256(body.encode()).digest()


async def answer(call: Call, exchange: Exchange, body: str) -> str:
    asked = exchange.replace(
        id=new_id("req"),
        operation="chat",
        messages=(Message("user", f"{INSTRUCTION}\n\n<text>\n{body.replace('</text', '< /text')}\n</text>"),),
        parameters=Parameters(temperature=0.0, max_tokens=60 * EACH),
    )
    return await text_of(call, asked)


def questions_in(answered: str, body: str) -> Iterator[str]:
    """The lines that are questions about the passage, and do not stand in it as they are."""
    for line in answered.splitlines():
        question = LISTED.sub("", line).strip().rstrip("\"'“”*").strip()
        if (
            SHORTEST <= len(question) <= LONGEST
            and question.endswith(("?", "？", "؟"))
            and question not in body
            and not {"text", "passage"} & set(terms(question)) - set(terms(body))
            and set(terms(question)) & set(terms(body)) - STOP_WORDS
        ):
            yield question


def said(question: str) -> frozenset[str]:
    """What two questions share that ask the same."""
    return frozenset(terms(question))
