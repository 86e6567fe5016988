"""The gaps of an app: what it could not answer, and how it is asked again."""

from __future__ import annotations

from penstock.knowledge.answer import GroundedApp
from penstock.knowledge.base import Query
from penstock.knowledge.evidence import SEARCHED
from penstock.knowledge.gaps.values import Judge, Verdict
from penstock.knowledge.values import Reader


def judge_of(app: GroundedApp) -> Judge:
    """Asks an app's documents whether they answer, without writing an answer."""

    async def judge(question: str, reader: Reader) -> Verdict:
        found = await app.knowledge.search(Query(text=question, reader=reader, limit=SEARCHED))
        evidence = await app.finder.find(question, found)
        return Verdict(app.answers(evidence), found.generation)

    return judge
