"""When to say that the documents do not say: fitted on the app's own questions.

    evals/golden.jsonl      {"question": "How long may a product be returned?", "documents": ["returns.md"]}
                            {"question": "Who won the cup?", "answerable": false}

A question is asked twice, each time in as many rounds as the app takes: of all documents, which answer it, and of
all but its own, which do not. What those are is `documents`, or else the document of the best passage. From the
probabilities of both come a shift of the logistic function's bias and the threshold: of those that keep most
answerable questions answered, the one that decides most questions rightly when both kinds weigh the same.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from penstock.errors import ConfigError
from penstock.exchange import Exchange
from penstock.knowledge.abstain import AppCalibration, calibration, expit
from penstock.knowledge.answer import GroundedApp
from penstock.knowledge.answering.rounds import Search
from penstock.knowledge.base import EVERYTHING, Query
from penstock.knowledge.evidence import Evidence
from penstock.knowledge.values import SearchResult
from penstock.seams import Tracer

logger = logging.getLogger(__name__)

FEWEST = 20
"""Questions of each kind: below that a threshold says more about the questions than about the documents."""

KEPT = 0.95
"""The share of answerable questions that the threshold must leave answered."""

LEFT_OUT = 4
"""Times as many passages are searched for when those of a document are left out, so that enough remain."""

RIDGE = 1.0
"""How strongly the shift is held to 0: few questions move it little."""

SHOWN = 11


class Golden(Struct, frozen=True, kw_only=True):
    """A question of `evals/golden.jsonl`: whether the documents answer it, which do, and in which words."""

    question: str
    documents: tuple[str, ...] = ()
    answerable: bool = True
    answer: str = ""
    quote: str = ""


class Case(Struct, frozen=True):
    """A question as it was asked, and the probability that it is answered."""

    question: str
    answerable: bool
    probability: float


class Step(Struct, frozen=True):
    """What a threshold would do. `precision` and `recall` are of abstaining; `kept` is the share of the answerable
    questions that are still answered. `precision` is `None` where nothing is abstained from."""

    threshold: float
    precision: float | None
    recall: float
    kept: float


class Fitted(Struct, frozen=True):
    """What was fitted, what it does on the same questions, and what the parameters that ship do on them."""

    calibration: AppCalibration
    chosen: Step
    shipped: Step
    table: tuple[Step, ...]


def read_golden(path: Path) -> tuple[Golden, ...]:
    """The questions in a file of JSON lines. Raises `ConfigError` naming the line."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise ConfigError(
            f"there are no questions at {path}: {error.strerror}.",
            hint=f'Write at least {FEWEST} of them, one a line: {{"question": "…", "documents": ["returns.md"]}}',
        ) from error
    found = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                found.append(msgspec.json.decode(line, type=Golden))
            except msgspec.DecodeError as error:
                raise ConfigError(
                    f"{path}, line {number}: {error}.",
                    hint='A line is {"question": "…"}, with "documents", "answerable" and "answer" where known.',
                ) from error
    return tuple(found)


async def calibrate(app: GroundedApp, questions: Sequence[Golden], exchange: Exchange, now_us: int) -> Fitted:
    """Asks the questions for whoever `exchange` is of, and fits. Raises `ConfigError` for too few of them."""
    check_enough(questions)
    about = AppCalibration(
        threshold=0.0,
        shift=0.0,
        knowledge=app.knowledge.name,
        generation=app.knowledge.generation(),
        embedder=app.embedder.fingerprint,
        answerable=0,
        unanswerable=0,
        fitted_us=now_us,
        passages=app.settings.ranked,
    )
    return fit(await ask_all(app, questions, exchange), about)


async def ask_all(app: GroundedApp, questions: Sequence[Golden], exchange: Exchange) -> list[Case]:
    """Each question of all documents, and the answerable ones of all but their own."""
    search = app.knowledge.search
    cases: list[Case] = []
    for golden in questions:
        whole = await evidence_in(app, search, golden, exchange)
        cases.append(Case(golden.question, golden.answerable, whole.probability))
        if golden.answerable and whole.passages:
            own = golden.documents or tuple(ranked.sentence.hit.document for ranked in whole.ranked[:1])
            without = await evidence_in(app, leaving_out(search, own), golden, exchange)
            cases.append(Case(golden.question, False, without.probability))
    return cases


async def evidence_in(app: GroundedApp, search: Search, golden: Golden, exchange: Exchange) -> Evidence:
    """What an app finds in a search, with the probabilities of the parameters that ship."""
    query = app.query(golden.question, EVERYTHING)
    return (await app.rounds_over(search, None).find(query, exchange)).evidence


def leaving_out(search: Search, documents: Sequence[str]) -> Search:
    """A search that knows nothing of some documents."""

    async def others(query: Query, tracer: Tracer | None = None) -> SearchResult:
        found = await search(replace(query, limit=LEFT_OUT * query.limit), tracer)
        return replace(found, hits=tuple(hit for hit in found.hits if hit.document not in documents)[: query.limit])

    return others


def fit(cases: Sequence[Case], about: AppCalibration) -> Fitted:
    """The shift and the threshold; `about` says what they were fitted on. Raises `ConfigError` for too few cases.

    The cases must have been asked with the parameters that ship.
    """
    answerable = sum(case.answerable for case in cases)
    refuse_few(answerable, "answerable")
    refuse_few(len(cases) - answerable, "unanswerable")
    labels = np.array([case.answerable for case in cases])
    logits = np.array([logit(case.probability) for case in cases])
    shift = round(shifted(logits, labels), 4)
    moved = [replace(case, probability=expit(logit(case.probability) + shift)) for case in cases]
    threshold = best_threshold(moved)
    made = replace(
        about, threshold=threshold, shift=shift, answerable=answerable, unanswerable=len(cases) - answerable
    )
    table = tuple(step(moved, round(float(at), 2)) for at in np.linspace(0, 1, SHOWN))
    return Fitted(made, step(moved, threshold), step(cases, calibration().threshold), table)


def check_enough(questions: Sequence[Golden]) -> None:
    """Raises `ConfigError` where these can be too few only, before anything is asked."""
    refuse_few(sum(golden.answerable for golden in questions), "answerable")


def refuse_few(count: int, what: str) -> None:
    if count < FEWEST:
        raise ConfigError(
            f"{count} {what} questions are too few to fit a threshold on; {FEWEST} are needed.",
            hint="Add questions to evals/golden.jsonl; each answerable one is also asked without its documents.",
        )


def shifted(logits: np.ndarray, labels: np.ndarray) -> float:
    """The shift of the bias under which the probabilities are likeliest, both kinds weighing the same.

    Newton's method on the penalised likelihood, which has one maximum.
    """
    weights = np.where(labels, 0.5 / labels.mean(), 0.5 / (1 - labels.mean()))
    shift = 0.0
    for _ in range(30):
        now = 1 / (1 + np.exp(-(logits + shift)))
        slope = float((weights * (labels - now)).sum() - RIDGE * shift)
        shift += slope / float((weights * now * (1 - now)).sum() + RIDGE)
    return shift


def best_threshold(cases: Sequence[Case]) -> float:
    """Halfway between the two probabilities where abstaining below decides most questions rightly."""
    known = sorted({0.0, 1.0, *(case.probability for case in cases)})
    middles = [(low + high) / 2 for low, high in pairwise(known)]
    allowed = [each for at in middles if (each := step(cases, at)).kept >= KEPT] or [step(cases, 0.0)]
    best = max(allowed, key=lambda each: (each.recall + each.kept, each.kept)).threshold
    return math.floor(best * 10_000) / 10_000  # never above it: that would keep fewer


def step(cases: Sequence[Case], threshold: float) -> Step:
    abstained = [case for case in cases if case.probability < threshold]
    right = sum(not case.answerable for case in abstained)
    answerable = sum(case.answerable for case in cases)
    return Step(
        threshold=threshold,
        precision=round(right / len(abstained), 4) if abstained else None,
        recall=round(right / max(1, len(cases) - answerable), 4),
        kept=round(1 - (len(abstained) - right) / max(1, answerable), 4),
    )


def logit(share: float) -> float:
    share = min(1 - 1e-9, max(1e-9, share))
    return math.log(share / (1 - share))


def calibration_path(data: Path, knowledge: str) -> Path:
    return data / f"calibration-{knowledge}.json"


def write_calibration(data: Path, made: AppCalibration) -> Path:
    """Keeps what was fitted in the app's data folder; returns the file."""
    path = calibration_path(data, made.knowledge)
    beside = path.with_suffix(".new")
    beside.write_bytes(msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n")
    beside.replace(path)
    return path


def read_calibration(data: Path, knowledge: str) -> AppCalibration | None:
    """What was fitted for this app, `None` where nothing was. Raises `ConfigError` for a file that is none."""
    path = calibration_path(data, knowledge)
    try:
        return msgspec.json.decode(path.read_bytes(), type=AppCalibration)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}.", hint="Delete it, or run 'penstock knowledge calibrate' again."
        ) from error


def calibration_for(data: Path, knowledge: str, embedder: str, passages: int) -> AppCalibration | None:
    """What was fitted, where it can be used; says so in the log where it cannot, or is of another depth."""
    made = read_calibration(data, knowledge)
    path = calibration_path(data, knowledge)
    if made is not None and made.embedder != embedder:
        logger.warning(
            "%s was fitted with another encoder and is not used; run 'penstock knowledge calibrate' again", path
        )
        return None
    if made is not None and made.passages != passages:
        logger.warning(
            "%s was fitted on the best %d passages, the app looks at %d; run 'penstock knowledge calibrate' again",
            path,
            made.passages,
            passages,
        )
    return made
