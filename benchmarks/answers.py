"""How often the app's answer contains the gold answer and cites the gold paragraph, and how soon evidence comes.

    python benchmarks/answers.py [--questions 500] [--compose 60] [--pairs 200] [--why 200] [--unanswerable 500]

500 questions of XQuAD over all its 240 paragraphs, each paragraph a document, through the real knowledge base,
encoder and app in its default mode, with at most two sentences. An answer that the documents do not say counts as
wrong. The ranking was fitted on other paragraphs (`benchmarks/abstention.py`). Beside it, on the first 60 of the
same questions, what the default model makes of the same passages: in mode "constrained", where it chooses quotes,
and in mode "compose", where it writes freely. F1 is SQuAD's, of the words of answer and gold.

`--pairs`: two questions of different paragraphs joined by "and", with one round of search and with two.
`--why`: how often the gold paragraph is what the answer hangs on most, among its distractors.
`--unanswerable`: questions of SQuAD 2.0 (the half that nothing was fitted on), and F1 of saying that the documents
do not say, for its own unanswerable questions and for those whose article is not among the documents.
A size of 0 leaves a part out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from support.questions import Asked, QuestionSet, contains_answer, encoder, halves, knowledge, load, words_of

from penstock.config import ModelSettings
from penstock.exchange import Exchange, Message, Parameters
from penstock.ids import new_id, new_trace_id
from penstock.knowledge.answer import AnswerSettings, GroundedApp
from penstock.knowledge.base import KnowledgeBase
from penstock.knowledge.why import explain
from penstock.models.encoders.sentence import SentenceEncoder
from penstock.models.local import local_engine

PLAIN = Parameters()
MODEL = "smollm2-135m-instruct"
BRIEF = Parameters(max_tokens=96, temperature=0.0)
"""For the composing model; what is quoted is not cut."""


@dataclass(frozen=True)
class Outcome:
    """One answer: what it has of the gold, and the milliseconds to its evidence."""

    contains: bool
    f1: float
    cites: bool
    answered: bool
    unsupported: int
    grounded: float | None
    conflicts: int
    sentences: int
    evidence_ms: float


def asking(question: str, parameters: Parameters = PLAIN) -> Exchange:
    return Exchange(
        id=new_id("req"),
        trace_id=new_trace_id(),
        model="docs",
        messages=(Message("user", question),),
        parameters=parameters,
    )


async def ask(app: GroundedApp, asked: Asked, parameters: Parameters = PLAIN) -> Outcome:
    exchange = asking(asked.text, parameters)
    started, evidence_ms, text, grounding = time.perf_counter(), 0.0, "", None
    async for chunk in app.answer(exchange):
        if not evidence_ms:
            evidence_ms = (time.perf_counter() - started) * 1000
        text += chunk.text
        grounding = chunk.grounding or grounding
    assert grounding is not None
    cited = [citation for citation in grounding.citations if citation.answer_start is not None]
    return Outcome(
        contains=grounding.answered and contains_answer(text, asked.answers),
        f1=max((f1(text, answer) for answer, _ in asked.answers), default=0.0) if grounding.answered else 0.0,
        cites=grounding.answered and any(citation.document == asked.file for citation in cited),
        answered=grounding.answered,
        unsupported=len(grounding.unsupported),
        grounded=grounding.grounded,
        conflicts=len(grounding.conflicts),
        sentences=len(cited),
        evidence_ms=evidence_ms,
    )


async def quoting(
    base: KnowledgeBase, embedder: SentenceEncoder, questions: Sequence[Asked], sentences: int
) -> list[Outcome]:
    app = GroundedApp("docs", base, embedder, None, AnswerSettings(mode="auto", sentences=sentences))
    return [await ask(app, asked) for asked in questions]


async def modelled(
    base: KnowledgeBase, embedder: SentenceEncoder, questions: Sequence[Asked]
) -> dict[str, dict[str, float]]:
    """The default model on the same questions: quotes that it chooses, and what it writes freely."""
    engine = local_engine(MODEL, ModelSettings(use=MODEL), lambda progress: None)
    await engine.start()
    found = {}
    try:
        for mode in ("constrained", "compose"):
            settings = AnswerSettings(mode=mode, model=MODEL)
            app = GroundedApp("docs", base, embedder, engine.answer, settings)
            found[mode] = figures([await ask(app, asked, BRIEF) for asked in questions])
    finally:
        await engine.close()
    return found


async def two_facts(base: KnowledgeBase, embedder: SentenceEncoder, questions: Sequence[Asked]) -> dict[str, float]:
    """Questions made of two: both paragraphs among the passages, and both quoted, by rounds of search."""
    pairs = [
        (one, other) for one, other in zip(questions[::2], questions[1::2], strict=False) if one.file != other.file
    ]
    found: dict[str, float] = {"pairs": len(pairs)}
    for rounds in (1, 2):
        app = GroundedApp("docs", base, embedder, None, AnswerSettings(rounds=rounds))
        hit, cited, again = [], [], []
        for one, other in pairs:
            question = f"{one.text.rstrip('? ')} and {other.text[0].lower()}{other.text[1:]}"
            seen = await app.find(asking(question))
            files = {one.file, other.file}
            hit.append(files <= {passage.document for passage in seen.evidence.passages})
            cited.append(files <= {each.sentence.hit.document for each in seen.evidence.best(2)})
            again.append(len(seen.rounds) > 1)
        found |= {
            f"both_found_in_{rounds}_rounds": share(hit),
            f"both_quoted_in_{rounds}_rounds": share(cited),
            f"asked_again_of_{rounds}_rounds": share(again),
        }
    return found


async def leaving_out(
    base: KnowledgeBase, embedder: SentenceEncoder, questions: Sequence[Asked]
) -> dict[str, float]:
    """Whether the gold paragraph is the one that the answer hangs on most."""
    app = GroundedApp("docs", base, embedder, None, AnswerSettings())
    told = [(asked, await explain(app, asking(asked.text), None)) for asked in questions]
    first = [bool(each.passages) and each.passages[0].document == asked.file for asked, each in told]
    return {
        "questions": len(told),
        "gold_first": share(first),
        "gold_first_where_answered": share(
            [right for right, (_, each) in zip(first, told, strict=True) if each.answered]
        ),
    }


async def abstaining(embedder: SentenceEncoder, number: int) -> dict[str, float]:
    """F1 of saying that the documents do not say, on the half of SQuAD 2.0 that nothing was fitted on."""
    data = load("squad2-dev.json")
    _, testing = halves(data)
    questions = [asked for asked in data.questions if asked.article in testing]
    questions = random.Random(3).sample(questions, min(number, len(questions)))
    async with knowledge(data.paragraphs, embedder) as base:
        said = await unanswered(base, embedder, questions)
    without = QuestionSet(tuple(each for each in data.paragraphs if each.article not in testing), ())
    outside = [asked for asked in questions if asked.answers]
    async with knowledge(without.paragraphs, embedder) as base:
        said_outside = await unanswered(base, embedder, outside)
    lacking = [not asked.answers for asked in questions]
    known = [each for each, none in zip(said, lacking, strict=True) if not none]
    return {
        "questions": len(questions),
        "f1_unanswerable": f1_of(said, lacking),
        "f1_outside": f1_of([*known, *said_outside], [*[False] * len(known), *[True] * len(outside)]),
        "answerable_kept": 1 - share(known),
    }


async def unanswered(base: KnowledgeBase, embedder: SentenceEncoder, questions: Sequence[Asked]) -> list[bool]:
    app = GroundedApp("docs", base, embedder, None, AnswerSettings())
    return [not app.answers((await app.find(asking(asked.text))).evidence) for asked in questions]


def f1_of(said: Sequence[bool], right: Sequence[bool]) -> float:
    both = sum(one and other for one, other in zip(said, right, strict=True))
    return round(2 * both / max(1, sum(said) + sum(right)), 4)


def f1(text: str, gold: str) -> float:
    """SQuAD's: of the words that answer and gold share."""
    ours, theirs = Counter(words_of(text).split()), Counter(words_of(gold).split())
    shared = sum((ours & theirs).values())
    return 2 * shared / max(1, sum(ours.values()) + sum(theirs.values()))


def figures(outcomes: Sequence[Outcome]) -> dict[str, float]:
    latency = [outcome.evidence_ms for outcome in outcomes]
    return {
        "questions": len(outcomes),
        "contains_gold_answer": share([outcome.contains for outcome in outcomes]),
        "cites_gold_paragraph": share([outcome.cites for outcome in outcomes]),
        "f1": round(float(np.mean([outcome.f1 for outcome in outcomes])), 4),
        "answered": share([outcome.answered for outcome in outcomes]),
        "citations": round(float(np.mean([outcome.sentences for outcome in outcomes])), 2),
        "grounded": round(
            float(np.mean([each.grounded for each in outcomes if each.grounded is not None] or [0.0])), 4
        ),
        "said_to_conflict": share([outcome.conflicts > 0 for outcome in outcomes]),
        "with_unsupported": share([outcome.unsupported > 0 for outcome in outcomes]),
        "evidence_ms_p50": round(float(np.percentile(latency, 50)), 1),
        "evidence_ms_p95": round(float(np.percentile(latency, 95)), 1),
    }


def share(values: Sequence[bool]) -> float:
    return round(sum(values) / len(values), 4) if values else 0.0


async def main() -> None:
    sizes = parsed()
    data = load("xquad.en.json")
    questions = random.Random(7).sample(data.questions, sizes.questions)
    few = questions[: sizes.compose]
    results: dict[str, dict[str, float]] = {}
    async with encoder() as embedder:
        async with knowledge(data.paragraphs, embedder) as base:
            await quoting(base, embedder, questions[:5], 2)
            two = results["quote, two sentences"] = figures(await quoting(base, embedder, questions, 2))
            results["quote, one sentence"] = figures(await quoting(base, embedder, questions, 1))
            if few:
                results["quote, same questions"] = figures(await quoting(base, embedder, few, 2))
                results |= await modelled(base, embedder, few)
            if sizes.pairs:
                asked = random.Random(11).sample(data.questions, 2 * sizes.pairs)
                results["two facts"] = await two_facts(base, embedder, asked)
            if sizes.why:
                results["why"] = await leaving_out(base, embedder, questions[: sizes.why])
        if sizes.unanswerable:
            results["abstaining"] = await abstaining(embedder, sizes.unanswerable)
    goals = [
        goal("answers that contain the gold answer", ">= 0.85", two["contains_gold_answer"], 0.85),
        goal("answers that cite the gold paragraph", ">= 0.92", two["cites_gold_paragraph"], 0.92),
        {"name": "milliseconds to evidence, p50", "goal": "<= 50", "value": two["evidence_ms_p50"],
         "met": two["evidence_ms_p50"] <= 50},
    ]  # fmt: skip
    ratios = {}
    if sizes.why:
        goals.append(goal("gold passage first of `why`", ">= 0.9", results["why"]["gold_first"], 0.9))
    if sizes.pairs:
        facts = results["two facts"]
        raised = facts["both_found_in_2_rounds"] / max(facts["both_found_in_1_rounds"], 1e-9)
        ratios["two rounds to one, both facts found"] = round(raised, 2)
        goals.append(goal("round two raises hits of two facts", "> 1", round(raised, 4), 1.0001))
    if few:
        same = results["quote, same questions"]["contains_gold_answer"]
        for mode in ("constrained", "compose"):
            better = same / max(results[mode]["contains_gold_answer"], 1e-9)
            ratios[f"quote to {mode}, contains the gold answer"] = round(better, 2)
    print(json.dumps({"name": "answers", "figures": results, "ratios": ratios, "goals": goals}))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for name, size in (("questions", 500), ("compose", 60), ("pairs", 200), ("why", 200), ("unanswerable", 500)):
        parser.add_argument(f"--{name}", type=int, default=size)
    return parser.parse_args()


def goal(name: str, wanted: str, value: float, least: float) -> dict[str, object]:
    return {"name": name, "goal": wanted, "value": value, "met": value >= least}


if __name__ == "__main__":
    asyncio.run(main())
