"""The questions that candidates race on: an app's own, or else some made of its documents.

    evals/golden.jsonl      {"question": "How long may a product be returned?", "documents": ["returns.md"],
                             "quote": "within 30 days of purchase"}

`quote` (or an `answer` in the words of a document) says which characters are to be found; without one, any passage
of the documents named counts.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct

from penstock.errors import ConfigError
from penstock.knowledge.calibrating import Golden
from penstock.knowledge.sentences import split_sentences
from penstock.knowledge.terms import STOP_WORDS, fold, words

FEWEST = 20
"""Questions in all, so that each half has ten: below that, chance decides."""

MADE = 200
"""Questions made of documents at most."""

WORDS = (5, 30)
"""Words of a sentence that a question is made of."""

KEPT_SHARE = 0.5
"""Of the words of a sentence, the most common ones, that make the question."""


class Text(Struct, frozen=True):
    """A document by its path, with its whole text."""

    document: str
    text: str


class Span(Struct, frozen=True):
    """Characters of a document that answer a question."""

    document: str
    start: int
    end: int


class TuneQuestion(Struct, frozen=True):
    """A question and what answers it: one of `spans`, or, where there are none, anything in `documents`."""

    text: str
    documents: tuple[str, ...]
    spans: tuple[Span, ...]

    @property
    def chooses(self) -> bool:
        """Whether it is in the half that chooses the winner; the other half only judges it."""
        return hashlib.sha256(self.text.encode()).digest()[0] % 2 == 0


Origin = Literal["app", "model", "sentences"]
"""Where questions come from: the app's own, written by a model, or made of words of sentences."""


class Questions(Struct, frozen=True):
    """What the race is run on; `skipped` have nothing to be found."""

    questions: tuple[TuneQuestion, ...]
    skipped: int = 0
    origin: Origin = "app"

    def half(self, *, chooses: bool) -> tuple[int, ...]:
        return tuple(at for at, each in enumerate(self.questions) if each.chooses == chooses)


def resolved(golden: Sequence[Golden], texts: Sequence[Text]) -> Questions:
    """The answerable questions with the places of their quotes. Raises `ConfigError` for too few."""
    found = []
    for each in golden:
        needle = each.quote or each.answer
        among = [text for text in texts if not each.documents or text.document in each.documents]
        spans = tuple(span for text in among for span in places(text, needle)) if needle else ()
        if each.answerable and (spans or (each.documents and among)):
            found.append(TuneQuestion(each.question, each.documents, spans))
    questions = Questions(tuple(found), skipped=len(golden) - len(found))
    refuse_few(questions)
    return questions


def refuse_few(questions: Questions) -> None:
    sizes = [len(questions.half(chooses=chooses)) for chooses in (True, False)]
    if sum(sizes) < FEWEST or min(sizes) < FEWEST // 4:
        raise ConfigError(
            f"{sum(sizes)} questions can be looked for ({questions.skipped} more say neither a document nor a quote"
            f" that stands in one); {FEWEST} are needed.",
            hint='Add lines such as {"question": "…", "documents": ["returns.md"], "quote": "within 30 days"}.',
        )


def places(text: Text, needle: str) -> Iterable[Span]:
    """Where a quote stands, whatever the white space in it and the case of its letters."""
    parts = [re.escape(word) for word in needle.split()]
    if parts:
        for match in re.finditer(r"\s+".join(parts), text.text, re.IGNORECASE):
            yield Span(text.document, match.start(), match.end())


def made_of(texts: Sequence[Text]) -> Questions:
    """Questions made of sentences, each of the commoner half of its words, so that names and numbers do not give it
    away. They are in the documents' own words, which people's are not: they can tell ways to cut from each other,
    and not words from meaning. Raises `ConfigError` for too few.
    """
    sentences = [
        (text, span)
        for text in texts
        for span in split_sentences(text.text)
        if fits(text.text[span.start : span.end])
    ]
    sentences.sort(key=lambda each: order(each[0].text[each[1].start : each[1].end]))
    known = Counter(word for text in texts for word in words(text.text))
    found: dict[str, TuneQuestion] = {}
    for text, span in sentences:
        asked = commoner(text.text[span.start : span.end], known)
        found.setdefault(asked, TuneQuestion(asked, (text.document,), (Span(text.document, span.start, span.end),)))
        if len(found) == MADE:
            break
    questions = Questions(tuple(found.values()), origin="sentences")
    refuse_few(questions)
    return questions


def fits(sentence: str) -> bool:
    low, high = WORDS
    return low <= len([word for word in words(sentence) if word not in STOP_WORDS]) <= high


def order(sentence: str) -> bytes:
    """As good as any, and the same in every run."""
    return hashlib.sha256(sentence.encode()).digest()


def commoner(sentence: str, known: Counter[str]) -> str:
    """The content words of a sentence that the documents use most, as they stand in it."""
    content = [word for word in re.findall(r"\w[\w'’-]*", sentence) if fold(word) not in STOP_WORDS]
    ranked = sorted(range(len(content)), key=lambda at: (-known[fold(content[at])], at))
    kept = sorted(ranked[: max(3, round(len(content) * KEPT_SHARE))])
    return " ".join(content[at] for at in kept)
