"""Whether a question asks for more than one thing, and how to search for what is missing.

Three kinds are told apart by their words alone: two questions in one ("Who built it and when was it finished?"), a
thing that is named only by another ("the city where the man who … was born"), and a question whose names the first
passages do not all hold.
"""

from __future__ import annotations

import re

from penstock.knowledge.evidence import Evidence, terms_of
from penstock.knowledge.question import NAME, analyse
from penstock.knowledge.ranking import CAPITAL, idf_of
from penstock.knowledge.terms import STOP_WORDS, fold, terms, words

ASKS = (
    r"(?:(?:in|on|at|to|by|for|of|from|with|about|during|under|after|before|until|since|within|over|between)\s+)?"
    r"(?:what|when|where|who|whom|whose|which|why|how)\b"
    r"|(?:is|are|was|were|did|does|do|can|could|has|have|had|will|would|should)\b"
)
JOINED = re.compile(
    rf"(?:,?\s+(?:and|or|but)(?:\s+(?:also|then))?|[;,]|\?)\s+(?:and\s+)?(?=(?:{ASKS}))", re.IGNORECASE
)
BRIDGE = re.compile(
    r"\b(?:the|a|an)\s+(?:\w+\s+){1,3}(?:that|who|whom|whose|which|where|in which|of which)\b",
    re.IGNORECASE,
)
FEWEST_WORDS = 3
MOST_PARTS = 3
MOST_NAMES = 4


def parts_of(question: str) -> tuple[str, ...]:
    """The questions that a question consists of; itself alone where it is one."""
    parts: list[str] = []
    start = 0
    for match in JOINED.finditer(question):
        part, rest = question[start : match.start()], question[match.end() :]
        if min(len(words(part)), len(words(rest))) >= FEWEST_WORDS and terms(part) and terms(rest) and asks(part):
            parts.append(part.strip(" ,;?"))
            start = match.end()
    parts.append(question[start:].strip(" ,;?"))
    return tuple(f"{part}?" for part in parts[:MOST_PARTS]) if len(parts) > 1 else (question,)


def asks(part: str) -> bool:
    """Whether a piece of text is a question by itself: "Under the law of 1905" before ", who" is not."""
    return re.search(rf"\b(?:{ASKS})", part.strip(), re.IGNORECASE) is not None


def bridged(question: str) -> bool:
    """Whether a question names a thing only by what is said of it."""
    inside = question.strip()
    found = BRIDGE.search(inside)
    return found is not None and found.start() > 0


def covered(part: str, evidence: Evidence) -> float:
    """How much of a question's words the best sentence for it holds with the one before, 0 to 1."""
    asked = analyse(part).terms
    idf = idf_of([hit.text for hit in evidence.passages])
    best = 0.0
    for ranked in evidence.ranked:
        said = ranked.sentence.said
        best = max(best, idf.share([term for term in asked if term in said], asked))
    return best


def missing_names(question: str, evidence: Evidence) -> list[str]:
    """The names of a question that no passage of the evidence has."""
    have = terms_of(evidence.passages)
    names = [match.group() for match in NAME.finditer(question) if match.start() > 0]
    return [name for name in names if (found := terms(name)) and have.isdisjoint(found)]


def found_names(question: str, evidence: Evidence) -> list[str]:
    """The names in the best sentence that the question does not have: what a bridge may lead to."""
    asked = set(words(question))
    names: list[str] = []
    for ranked in evidence.ranked[:1]:
        for name in CAPITAL.findall(ranked.sentence.text):
            plain = fold(name)
            if plain not in asked and plain not in STOP_WORDS and name not in names:
                names.append(name)
    return names[:MOST_NAMES]
