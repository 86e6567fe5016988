"""The gaps of an app: what it could not answer, and how it is asked again."""

from __future__ import annotations

import asyncio

from penstock.exchange import Exchange, Message
from penstock.ids import new_id, new_trace_id
from penstock.knowledge.answer import GroundedApp
from penstock.knowledge.gaps.values import Judge, Verdict
from penstock.knowledge.values import Reader


def judge_of(app: GroundedApp) -> Judge:
    """Asks an app's documents whether they answer, in as many rounds as the app, without writing an answer."""

    async def judge(question: str, reader: Reader) -> Verdict:
        exchange = Exchange(
            id=new_id("req"),
            trace_id=new_trace_id(),
            model=app.name,
            messages=(Message("user", question),),
            purpose="system",
        )
        rounds = app.rounds_over(app.knowledge.search, app.settings.fitted)
        found = await rounds.find(app.query(question, reader), exchange)
        if not app.answers(found.evidence):
            return Verdict(False, found.generation, 0)
        best = found.evidence.ranked[0].sentence.hit
        document = await asyncio.to_thread(app.knowledge.document, best.document_id, reader)
        return Verdict(True, found.generation, document.row.loaded_at)

    return judge
