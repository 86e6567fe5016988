"""Whether the passages hold an answer at all, as a probability with a threshold.

A few measures of how well the best evidence fits go through a logistic function whose parameters are data
(`calibration.json`), fitted by `benchmarks/abstention.py` on questions that its documents answer, questions
whose documents were left out, and questions made to look answerable. It tells the first two kinds apart well
and the third hardly: that takes a reader, not a ranker.
"""

from __future__ import annotations

import math
import re
from functools import cache
from importlib import resources

import msgspec
from msgspec import Struct

from penstock.knowledge.ranking import Idf, LinearModel
from penstock.knowledge.terms import terms

SPECIFIC = re.compile(r"(?<!^)\b[A-ZÀ-ÞА-ЯΑ-Ω][\w’'-]+|\d[\d,.]*\d|\d")
NEGATION = re.compile(
    r"\b(?:not|never|no|none|nobody|without|least|unlike|n[o']t|cannot|\w+n't|\w+n’t)\b", re.IGNORECASE
)


class Fit(Struct, frozen=True):
    """How well the best evidence fits a question. Shares are 0 to 1 and weighted by idf.

    `best` is the score of the best sentence, `cosine` the highest of any sentence, `context` the share of the
    question's words in the best sentence and the one before, `found` and `specific` the shares of its words and
    of its names and numbers in any passage, `agrees` whether both negate or neither.
    """

    best: float
    cosine: float
    passage_cosine: float
    context: float
    found: float
    specific: float
    agrees: float
    kind: float


class Calibration(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of ranking and abstention, as `calibration.json` keeps them."""

    made_by: str
    ranking: LinearModel
    answered: LinearModel
    threshold: float


@cache
def calibration() -> Calibration:
    """The parameters that ship with the package."""
    data = resources.files("penstock.knowledge").joinpath("calibration.json").read_bytes()
    return msgspec.json.decode(data, type=Calibration)


def probability(model: LinearModel, fit: Fit) -> float:
    """The calibrated probability, 0 to 1, that the passages hold an answer."""
    return 1.0 / (1.0 + math.exp(-max(-50.0, min(50.0, model.score(fit)))))


def specific_share(question: str, passages: set[str], idf: Idf) -> float:
    """The share of a question's names and numbers that any passage has; 1 where it has none."""
    asked = list(dict.fromkeys(term for word in SPECIFIC.findall(question) for term in terms(word)))
    return idf.share([term for term in asked if term in passages], asked) if asked else 1.0


def negates_alike(question: str, sentence: str) -> float:
    """1 where both negate or neither does, else 0."""
    return float((NEGATION.search(question) is None) == (NEGATION.search(sentence) is None))
