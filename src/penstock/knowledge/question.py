"""What is asked: the words of a question, the kind of answer it wants, and what a follow-up leaves unsaid."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from msgspec import Struct

from penstock.exchange import Message
from penstock.knowledge.terms import STOP_WORDS, fold, stem, terms, words

Kind = Literal["number", "date", "person", "reason", "other"]

KINDS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    (
        "number",
        re.compile(
            r"\bhow (?:many|much|long|far|old|tall|large|big|often|high|deep|fast|wide|heavy)\b"
            r"|\b(?:what|which) (?:percentage|percent|number|amount|population|proportion|fraction|price|cost)\b"
        ),
    ),
    (
        "date",
        re.compile(r"\bwhen\b|\b(?:what|which) (?:year|date|day|month|century|decade|time)\b|\bhow long ago\b"),
    ),
    ("person", re.compile(r"\bwho(?:m|se)?\b")),
    ("reason", re.compile(r"\bwhy\b|\bwhat (?:caused|is the reason|was the reason)\b|\bfor what reason\b")),
)
REFERENCE = re.compile(
    r"\b(?:it|its|he|him|his|she|her|they|them|their|theirs|this|these|those|former|latter|else|instead)\b"
    r"|\b(?:that|one|ones|then|there)\W*$"
)
CONTINUES = re.compile(r"^(?:and|or|but|so|also|what about|how about|any other)\b")
NAME = re.compile(r"\b[^\W\d_]*[A-ZÀ-ÞА-ЯΑ-Ω][\w’'-]*")
FEW_TERMS = 2
LONGEST_CONTEXT = 12
"""Terms of earlier turns that a follow-up is searched with at most."""

LONGEST_TURN = 2_000
BEGINNING = 400
"""Characters of an earlier question, and of the last answer, that are looked at for context."""


class Question(Struct, frozen=True):
    """A question as it is searched and ranked with. `terms` are stems, without repeats, in order."""

    text: str
    terms: tuple[str, ...]
    bigrams: frozenset[tuple[str, str]]
    words: frozenset[str]
    kind: Kind


def analyse(text: str) -> Question:
    """The parts of a question that ranking needs."""
    ordered = terms(text)
    spoken = words(text)
    plain = " ".join(spoken)
    kind: Kind = next((kind for kind, pattern in KINDS if pattern.search(plain)), "other")
    return Question(
        text,
        tuple(dict.fromkeys(ordered)),
        frozenset(pairwise(ordered)),
        frozenset(spoken),
        kind,
    )


def condense(messages: Sequence[Message]) -> str:
    """The text to search for the last user message: itself, or itself with the context that it leans on.

    A follow-up ("And when was he born?") names its subject in an earlier turn. Where the last question refers
    back or says almost nothing by itself, the telling words of the turns before it are added: the names of the
    last answer, then the words of the earlier questions, newest first, until one stands by itself.
    Returns "" where there is no user message.
    """
    users = [at for at, message in enumerate(messages) if message.role == "user" and message.text.strip()]
    if not users:
        return ""
    question = messages[users[-1]].text.strip()
    if not users[:-1] or not leans_on_context(question):
        return question
    known = set(terms(question))
    added: list[str] = []
    for at in reversed(users[:-1]):
        earlier = messages[at].text[:LONGEST_TURN]
        _add(earlier.split(), known, added)
        if not leans_on_context(earlier):
            break
    answer = next((message.text for message in messages[users[-2] : users[-1]] if message.role == "assistant"), "")
    _add(_names(answer), known, added)
    return f"{question} {' '.join(added[:LONGEST_CONTEXT])}".strip()


def leans_on_context(question: str) -> bool:
    """Whether a question refers back, or has too few telling words to be searched by itself.

    A pronoun beside a name usually means that name ("What did Rollo do before he died?").
    """
    plain = fold(question).strip()
    if CONTINUES.search(plain):
        return True
    if any(match.start() > 0 for match in NAME.finditer(question.strip())):
        return False
    return len(set(terms(question))) <= FEW_TERMS or REFERENCE.search(plain) is not None


def _add(spoken: Sequence[str], known: set[str], added: list[str]) -> None:
    for word in spoken:
        plain = word.strip(".,;:!?\"'()[]“”‘’«»")
        found = terms(plain)
        if found and not known.issuperset(found):
            known.update(found)
            added.append(plain)


def _names(answer: str) -> list[str]:
    """The capitalised words of the beginning of an answer that do not merely begin a sentence."""
    return [
        match.group()
        for match in NAME.finditer(answer[:BEGINNING])
        if stem(fold(match.group())) not in STOP_WORDS and fold(match.group()) not in STOP_WORDS
    ]
