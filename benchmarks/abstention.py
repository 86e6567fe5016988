"""How often the app says that its documents do not answer, and how often it is right to.

    python benchmarks/abstention.py            measures with the parameters that ship
    python benchmarks/abstention.py --fit      fits them first and writes them into the package

SQuAD 2.0 (dev) is split in two by article. On one half the weights of the sentence ranking, the logistic function
of the abstention score and its threshold are fitted, leaving out every paragraph that XQuAD has too, because
`benchmarks/answers.py` measures on that. On the other half precision and recall of abstaining are reported for its
own unanswerable questions, which were written to look answerable from their paragraph, and for questions whose
whole article is not among the documents.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent))

from support.fitting import area_under_curve, calibration_error, fit_choice, fit_logistic
from support.questions import Asked, QuestionSet, encoder, halves, knowledge, load, words_of

from penstock.knowledge.abstain import Calibration, Fit, calibration, probability
from penstock.knowledge.base import EVERYTHING, KnowledgeBase, Query
from penstock.knowledge.evidence import SEARCHED, Evidence, EvidenceFinder, SentenceVectors
from penstock.knowledge.ranking import LinearModel, Measures
from penstock.models.encoders.sentence import SentenceEncoder

KEPT = 0.98
"""The share of answerable questions of the calibration half that the threshold must leave answered."""

OUTPUT = Path(__file__).resolve().parents[1] / "src" / "penstock" / "knowledge" / "calibration.json"
FLAT = Calibration(
    made_by="",
    ranking=LinearModel({"coverage": 1.0, "passage_cosine": 1.0, "before": 0.5, "bigrams": 0.2}),
    answered=LinearModel({}),
    threshold=0.0,
)


@dataclass(frozen=True)
class Case:
    """A question, what was found for it, and whether the documents answer it."""

    asked: Asked
    evidence: Evidence
    answerable: bool


async def cases(
    base: KnowledgeBase, finder: EvidenceFinder, questions: Sequence[Asked], absent: bool
) -> list[Case]:
    found = []
    for asked in questions:
        query = Query(text=asked.text, reader=EVERYTHING, limit=SEARCHED)
        evidence = await finder.find(asked.text, await base.search(query))
        found.append(Case(asked, evidence, bool(asked.answers) and not absent))
    return found


def gold(case: Case) -> NDArray[np.float64]:
    """1 for each candidate that holds the gold answer in its place, else 0."""
    return np.array(
        [
            float(
                ranked.sentence.hit.document == case.asked.file
                and any(ranked.sentence.start <= at < ranked.sentence.end for _, at in case.asked.answers)
            )
            for ranked in case.evidence.ranked
        ]
    )


def values(struct: Measures | Fit) -> list[float]:
    return list(msgspec.structs.astuple(struct))


async def fitted(data: QuestionSet, articles: frozenset[str], embedder: SentenceEncoder) -> Calibration:
    """The parameters, from the questions about these articles."""
    excluded = {words_of(paragraph.text) for paragraph in load("xquad.en.json").paragraphs}
    kept = {paragraph.file for paragraph in data.paragraphs if words_of(paragraph.text) not in excluded}
    questions = [asked for asked in data.questions if asked.article in articles and asked.file in kept]
    answerable = [asked for asked in questions if asked.answers]
    async with knowledge(data.paragraphs, embedder) as base:
        everything = EvidenceFinder(SentenceVectors(embedder), FLAT, embedded=10_000)
        found = await cases(base, everything, answerable, absent=False)
        groups = [
            (np.array([values(ranked.measures) for ranked in case.evidence.ranked]), gold(case))
            for case in found
            if gold(case).any()
        ]
        ranking = fit_choice(Measures.__struct_fields__, groups, penalty=30.0)
        finder = EvidenceFinder(SentenceVectors(embedder), msgspec.structs.replace(FLAT, ranking=ranking))
        seen = await cases(base, finder, questions, absent=False)
    seen += await left_out(data, articles, answerable[::2], finder, embedder)
    return with_threshold(seen, ranking)


async def left_out(
    data: QuestionSet,
    articles: frozenset[str],
    questions: Sequence[Asked],
    finder: EvidenceFinder,
    embedder: SentenceEncoder,
) -> list[Case]:
    """Questions asked of the other half's documents only, so that nothing there is about them."""
    async with knowledge([each for each in data.paragraphs if each.article not in articles], embedder) as base:
        return await cases(base, finder, questions, absent=True)


def with_threshold(seen: Sequence[Case], ranking: LinearModel) -> Calibration:
    fits = [(values(case.evidence.fit), case.answerable) for case in seen if case.evidence.fit]
    features = np.array([fit for fit, _ in fits])
    labels = np.array([float(answerable) for _, answerable in fits])
    model = fit_logistic(Fit.__struct_fields__, features, labels, penalty=3.0)
    scores = [probability(model, case.evidence.fit) for case in seen if case.answerable and case.evidence.fit]
    threshold = round(float(np.quantile(scores, 1 - KEPT)), 4)
    return Calibration(
        made_by="benchmarks/abstention.py --fit", ranking=ranking, answered=model, threshold=threshold
    )


async def measured(data: QuestionSet, articles: frozenset[str], parameters: Calibration) -> dict[str, float]:
    questions = [asked for asked in data.questions if asked.article in articles]
    async with encoder() as embedder:
        finder = EvidenceFinder(SentenceVectors(embedder), parameters)
        async with knowledge(data.paragraphs, embedder) as base:
            seen = await cases(base, finder, questions, absent=False)
        answerable = [asked for asked in questions if asked.answers]
        absent = await left_out(data, articles, answerable[::3], finder, embedder)
    return figures(seen, absent, parameters.threshold)


def figures(seen: Sequence[Case], absent: Sequence[Case], threshold: float) -> dict[str, float]:
    scores = np.array([case.evidence.probability for case in seen])
    answerable = np.array([case.answerable for case in seen])
    outside = np.array([case.evidence.probability for case in absent])
    abstained, right = scores < threshold, ~answerable
    known = scores[answerable]
    top = [any(gold(case)[:1]) for case in seen if case.answerable]
    return {
        "questions": len(seen),
        "unanswerable": int(right.sum()),
        "abstain_precision": ratio((abstained & right).sum(), abstained.sum()),
        "abstain_recall": ratio((abstained & right).sum(), right.sum()),
        "answerable_kept": ratio((~abstained & answerable).sum(), answerable.sum()),
        "outside_questions": len(absent),
        "outside_abstain_recall": ratio((outside < threshold).sum(), len(outside)),
        "outside_abstain_precision": ratio(
            (outside < threshold).sum(), (outside < threshold).sum() + (known < threshold).sum()
        ),
        "auc_unanswerable": area_under_curve(scores, answerable),
        "auc_outside": area_under_curve(np.r_[known, outside], np.r_[np.ones(len(known)), np.zeros(len(outside))]),
        "calibration_error": calibration_error(np.r_[scores, outside], np.r_[answerable, np.zeros(len(outside))]),
        "best_sentence_is_gold": ratio(sum(top), len(top)),
        "threshold": threshold,
    }  # fmt: skip


def ratio(part: float, whole: float) -> float:
    return round(float(part) / float(whole), 4) if whole else 0.0


async def main() -> None:
    data = load("squad2-dev.json")
    calibrating, testing = halves(data)
    parameters = calibration() if OUTPUT.is_file() else FLAT
    if "--fit" in sys.argv:
        async with encoder() as embedder:
            parameters = await fitted(data, calibrating, embedder)
        OUTPUT.write_bytes(msgspec.json.format(msgspec.json.encode(parameters), indent=2) + b"\n")
        print(OUTPUT.read_text())
    result = await measured(data, testing, parameters)
    goals = [
        {"name": "answerable questions still answered", "goal": ">= 0.95", "value": result["answerable_kept"],
         "met": result["answerable_kept"] >= 0.95},
    ]  # fmt: skip
    print(json.dumps({"name": "abstention", "figures": result, "ratios": {}, "goals": goals}))


if __name__ == "__main__":
    asyncio.run(main())
