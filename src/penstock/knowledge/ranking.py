"""How well a sentence answers a question, as a weighted sum of a few plain measures.

Each measure says something that a reader would accept as a reason: the sentence means the same, it has the
rare words of the question, its neighbours have the ones it lacks, it has a date where the question asks when.
The weights are data (`calibration.json`), learned by `benchmarks/abstention.py`; none is negative, so more of a
reason never counts against a sentence.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise

import msgspec
from msgspec import Struct

from penstock.knowledge.question import Question
from penstock.knowledge.terms import terms, words

COMMON_PREFIX = 5
"""Characters; longer words that share them are taken for relatives."""

NUMBER_WORDS = frozenset(
    word
    for line in (
        "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen",
        "seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand",
        "million billion half third quarter dozen several few majority percent once twice",
    )
    for word in line.split()
)
MONTHS = frozenset(
    word
    for line in (
        "january february march april june july august september october november december century centuries",
        "decade monday tuesday wednesday thursday friday saturday sunday",
    )
    for word in line.split()
)
DATE = re.compile(
    r"\b1\d{3}s?\b|\b20\d{2}s?\b|\b\d{1,2}(?:st|nd|rd|th)\b|\b\d{1,2}:\d{2}\b|\b\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}\b"
)
REASON = re.compile(
    r"\b(?:because|due to|since|in order to|so that|caus\w+|reasons?|result\w*|therefore|thus|as a|owing|led to"
    r"|to avoid|for)\b",
    re.IGNORECASE,
)
CAPITAL = re.compile(r"\b[A-ZÀ-ÞА-ЯΑ-Ω][\w’'-]+")
POINTS_BACK = re.compile(r"^(?:It|He|She|They|This|These|Those|His|Her|Its|Their|Such|That)\b")


class Idf(Struct, frozen=True):
    """How telling a term is among the passages that were found: rare there, or absent, is telling."""

    documents: int
    counts: dict[str, int]

    def __call__(self, term: str) -> float:
        count = self.counts.get(term, 0)
        return 1.0 + math.log(1.0 + (self.documents - count + 0.5) / (count + 0.5))

    def share(self, found: Iterable[str], asked: Sequence[str]) -> float:
        """The weight of the found terms in that of all asked for, 0 to 1."""
        total = sum(map(self, asked))
        return sum(map(self, found)) / total if total else 0.0


def idf_of(passages: Sequence[str]) -> Idf:
    """Term weights from the passages themselves: enough to tell a topic's common words from the rest."""
    counts = Counter(term for passage in passages for term in set(terms(passage)))
    return Idf(len(passages), dict(counts))


class Neighbourhood(Struct, frozen=True):
    """What stands around a sentence, as sets of terms: before it, after it, and in its whole passage; and how the
    search scored the passage."""

    before: frozenset[str]
    after: frozenset[str]
    passage: frozenset[str]
    passage_cosine: float
    passage_words: float


class Measures(Struct, frozen=True):
    """The measures of one sentence. Shares are 0 to 1 and weighted by idf; kinds are 1, 0 or -1."""

    cosine: float = 0.0
    coverage: float = 0.0
    before: float = 0.0
    after: float = 0.0
    bigrams: float = 0.0
    relatives: float = 0.0
    passage_cosine: float = 0.0
    passage_words: float = 0.0
    passage_coverage: float = 0.0
    names: float = 0.0
    pointing_back: float = 0.0
    number: float = 0.0
    date: float = 0.0
    person: float = 0.0
    reason: float = 0.0


class LinearModel(Struct, frozen=True):
    """A weight for each measure by name, and a bias."""

    weights: dict[str, float]
    bias: float = 0.0

    def score(self, measures: Struct) -> float:
        """The weighted sum; measures without a weight do not count."""
        values: dict[str, float] = msgspec.structs.asdict(measures)
        return self.bias + sum(weight * values[name] for name, weight in self.weights.items())


def measure(question: Question, sentence: str, around: Neighbourhood, idf: Idf) -> Measures:
    """Everything but the cosine, which costs an encoder."""
    own = terms(sentence)
    have = set(own)
    missing = [term for term in question.terms if term not in have]
    before = [term for term in missing if term in around.before]
    after = [term for term in missing if term in around.after and term not in around.before]
    relatives = [term for term in missing if has_relative(term, have)]
    pairs = set(pairwise(own))
    names = [name for name in CAPITAL.findall(sentence[1:]) if name.lower() not in question.text.lower()]
    share_before = idf.share(before, question.terms)
    kinds = {question.kind: _fits(question, sentence, names)} if question.kind != "other" else {}
    return Measures(
        coverage=idf.share([term for term in question.terms if term in have], question.terms),
        before=share_before,
        after=idf.share(after, question.terms),
        bigrams=len(question.bigrams & pairs) / (len(question.bigrams) + 1),
        relatives=idf.share(relatives, question.terms),
        passage_cosine=around.passage_cosine,
        passage_words=around.passage_words,
        passage_coverage=idf.share([term for term in question.terms if term in around.passage], question.terms),
        names=min(len(names), 5) / 5 if question.kind in ("person", "other") else 0.0,
        pointing_back=share_before if POINTS_BACK.match(sentence) else 0.0,
        **kinds,
    )


def has_relative(term: str, have: AbstractSet[str]) -> bool:
    """Whether a term is there in another form: a derivation, or a slip of the pen behind its beginning."""
    return len(term) >= COMMON_PREFIX and any(
        len(other) >= COMMON_PREFIX and other[:COMMON_PREFIX] == term[:COMMON_PREFIX] for other in have
    )


def _fits(question: Question, sentence: str, names: list[str]) -> float:
    """1 where the sentence has something new of the kind that is asked for, else -1."""
    spoken = [word for word in words(sentence) if word not in question.words]
    if question.kind == "number":
        found = any(word[0].isdigit() or word in NUMBER_WORDS for word in spoken)
    elif question.kind == "date":
        found = any(word in MONTHS for word in spoken) or any(
            match.group() not in question.text for match in DATE.finditer(sentence)
        )
    elif question.kind == "person":
        found = bool(names)
    else:
        found = REASON.search(sentence) is not None
    return 1.0 if found else -1.0
