"""How often the app's answer contains the gold answer and cites the gold paragraph, and how soon evidence comes.

    python benchmarks/answers.py [--compose N]

500 questions of XQuAD over all its 240 paragraphs, each paragraph a document, through the real knowledge base,
encoder and app in its default mode, with at most two sentences. An answer that the documents do not say counts as
wrong. The ranking was fitted on other paragraphs (`benchmarks/abstention.py`). Beside it, mode "compose" with the
default model on the first N (60) of the same questions: what the model makes of the same passages.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from support.questions import Asked, contains_answer, encoder, knowledge, load

from penstock.config import ModelSettings
from penstock.exchange import Exchange, Message, Parameters
from penstock.ids import new_id, new_trace_id
from penstock.knowledge.answer import AnswerSettings, GroundedApp
from penstock.knowledge.base import KnowledgeBase
from penstock.models.encoders.sentence import SentenceEncoder
from penstock.models.local import local_engine

QUESTIONS = 500
PLAIN = Parameters()
MODEL = "smollm2-135m-instruct"
BRIEF = Parameters(max_tokens=96, temperature=0.0)
"""For the composing model; what is quoted is not cut."""


@dataclass(frozen=True)
class Outcome:
    """One answer: what it has of the gold, and the milliseconds to its evidence."""

    contains: bool
    cites: bool
    answered: bool
    unsupported: int
    sentences: int
    evidence_ms: float


async def ask(app: GroundedApp, asked: Asked, parameters: Parameters = PLAIN) -> Outcome:
    exchange = Exchange(
        id=new_id("req"),
        trace_id=new_trace_id(),
        model=app.name,
        messages=(Message("user", asked.text),),
        parameters=parameters,
    )
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
        cites=grounding.answered and any(citation.document == asked.file for citation in cited),
        answered=grounding.answered,
        unsupported=len(grounding.unsupported),
        sentences=len(cited),
        evidence_ms=evidence_ms,
    )


async def quoting(
    base: KnowledgeBase, embedder: SentenceEncoder, questions: Sequence[Asked], sentences: int
) -> list[Outcome]:
    app = GroundedApp("docs", base, embedder, None, AnswerSettings(mode="auto", sentences=sentences))
    return [await ask(app, asked) for asked in questions]


async def composing(base: KnowledgeBase, embedder: SentenceEncoder, questions: Sequence[Asked]) -> list[Outcome]:
    engine = local_engine(MODEL, ModelSettings(use=MODEL), lambda progress: None)
    await engine.start()
    try:
        settings = AnswerSettings(mode="compose", model=MODEL)
        app = GroundedApp("docs", base, embedder, engine.answer, settings)
        return [await ask(app, asked, BRIEF) for asked in questions]
    finally:
        await engine.close()


def figures(outcomes: Sequence[Outcome]) -> dict[str, float]:
    latency = [outcome.evidence_ms for outcome in outcomes]
    return {
        "questions": len(outcomes),
        "contains_gold_answer": share([outcome.contains for outcome in outcomes]),
        "cites_gold_paragraph": share([outcome.cites for outcome in outcomes]),
        "answered": share([outcome.answered for outcome in outcomes]),
        "citations": round(float(np.mean([outcome.sentences for outcome in outcomes])), 2),
        "with_unsupported": share([outcome.unsupported > 0 for outcome in outcomes]),
        "evidence_ms_p50": round(float(np.percentile(latency, 50)), 1),
        "evidence_ms_p95": round(float(np.percentile(latency, 95)), 1),
    }


def share(values: Sequence[bool]) -> float:
    return round(sum(values) / len(values), 4) if values else 0.0


async def main() -> None:
    data = load("xquad.en.json")
    questions = random.Random(7).sample(data.questions, QUESTIONS)
    composed = int(sys.argv[sys.argv.index("--compose") + 1]) if "--compose" in sys.argv else 60
    async with encoder() as embedder, knowledge(data.paragraphs, embedder) as base:
        await quoting(base, embedder, questions[:5], 2)
        two = figures(await quoting(base, embedder, questions, 2))
        one = figures(await quoting(base, embedder, questions, 1))
        same = figures(await quoting(base, embedder, questions[:composed], 2)) if composed else {}
        compose = figures(await composing(base, embedder, questions[:composed])) if composed else {}
    results = {
        "quote, two sentences": two,
        "quote, one sentence": one,
        "quote, same questions": same,
        "compose": compose,
    }
    goals = [
        goal("answers that contain the gold answer", ">= 0.85", two["contains_gold_answer"], 0.85),
        goal("answers that cite the gold paragraph", ">= 0.92", two["cites_gold_paragraph"], 0.92),
        {"name": "milliseconds to evidence, p50", "goal": "<= 50", "value": two["evidence_ms_p50"],
         "met": two["evidence_ms_p50"] <= 50},
    ]  # fmt: skip
    ratios = {}
    if composed:
        better = same["contains_gold_answer"] / max(compose["contains_gold_answer"], 1e-9)
        ratios["quote to compose, contains the gold answer"] = round(better, 2)
    print(json.dumps({"name": "answers", "figures": results, "ratios": ratios, "goals": goals}))


def goal(name: str, wanted: str, value: float, least: float) -> dict[str, object]:
    return {"name": name, "goal": wanted, "value": value, "met": value >= least}


if __name__ == "__main__":
    asyncio.run(main())
