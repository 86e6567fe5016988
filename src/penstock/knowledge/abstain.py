"""Whether the passages hold an answer at all, as a probability with a threshold.

A few measures of how well the best evidence fits go through a logistic function whose parameters are data
(`calibration.json`), fitted by `benchmarks/abstention.py` on questions that its documents answer, questions
whose documents were left out, and questions made to look answerable. It tells the first two kinds apart well
and the third hardly: that takes a reader, not a ranker.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from importlib import resources

import msgspec
from msgspec import Struct

from penstock.knowledge.ranking import CAPITAL, Idf, LinearModel, has_relative
from penstock.knowledge.terms import terms

SPECIFIC = re.compile(rf"(?<!^){CAPITAL.pattern}|\d[\d,.]*\d|\d")


class Fit(Struct, frozen=True):
    """How well the best evidence fits a question.

    `cosine` is the highest of any sentence and `passage_cosine` of any passage, `context` the share of the
    question's words in the best sentence and the one before, `specific` that of its names and numbers in any
    passage. Shares are 0 to 1 and weighted by idf.
    """

    cosine: float
    passage_cosine: float
    context: float
    specific: float


class Calibration(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of ranking and abstention, as `calibration.json` keeps them."""

    made_by: str
    ranking: LinearModel
    answered: LinearModel
    threshold: float

    def for_app(self, fitted: AppCalibration | None) -> Calibration:
        """These parameters as an app's own questions correct them."""
        if fitted is None:
            return self
        answered = LinearModel(self.answered.weights, self.answered.bias + fitted.shift)
        return Calibration(self.made_by, self.ranking, answered, fitted.threshold)


class AppCalibration(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an app's own questions made of the logistic function: a shift of its bias, and the threshold.

    `knowledge` and `generation` say what it was fitted on, with how many answerable and unanswerable questions;
    `embedder` is the fingerprint of the encoder, without which the figures mean nothing. `passages` are those whose
    sentences were ranked: more of them find an answer more often, also where there is none.
    """

    threshold: float
    shift: float
    knowledge: str
    generation: int
    embedder: str
    answerable: int
    unanswerable: int
    fitted_us: int
    passages: int = 5


@cache
def calibration() -> Calibration:
    """The parameters that ship with the package."""
    data = resources.files("penstock.knowledge").joinpath("calibration.json").read_bytes()
    return msgspec.json.decode(data, type=Calibration)


def probability(model: LinearModel, fit: Fit) -> float:
    """The calibrated probability, 0 to 1, that the passages hold an answer."""
    return expit(model.score(fit))


def expit(value: float) -> float:
    """The logistic function."""
    return 1.0 / (1.0 + math.exp(-max(-50.0, min(50.0, value))))


def present(asked: Sequence[str], passages: AbstractSet[str]) -> list[str]:
    """The terms that the passages have, in whatever form."""
    return [term for term in asked if term in passages or has_relative(term, passages)]


def specific_share(question: str, passages: AbstractSet[str], idf: Idf) -> float:
    """The share of a question's names and numbers that any passage has; 1 where it has none."""
    asked = list(dict.fromkeys(term for word in SPECIFIC.findall(question) for term in terms(word)))
    return idf.share(present(asked, passages), asked) if asked else 1.0
