"""A site to look at: a knowledge base of a few documents, and an app that answers from it by a script.

The app is a real provider behind the real pipeline; only its words are fixed, so that pages can be tested for
what they show. A question says what the answer will be like: see `ScriptedApp.answer`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from penstock.config import AppSettings, KnowledgeSettings, Settings
from penstock.errors import EngineStopped
from penstock.exchange import Chunk, Citation, Exchange, Grounding, Message, Usage
from penstock.gateway.admission import Admission
from penstock.gateway.meter import Meter
from penstock.gateway.pipeline import Pipeline, standard_stages
from penstock.gateway.registry import Registry, Target
from penstock.gateway.services import Services
from penstock.knowledge.base import EVERYTHING, Hit, KnowledgeBase, KnowledgeOptions, Query, Sources
from penstock.knowledge.readers import reader_of
from penstock.testing import FakeEmbedder
from penstock.traces.store import TraceStore

GUIDE = """# The gate of the penstock

A penstock brings water to the turbine under pressure. Its gate stands above the turbine hall, and one person
can close it by hand in forty seconds.

## Closing the gate

Turn the wheel clockwise until the red mark meets the white one. The gate closes slowly, so that the pressure in
the pipe does not rise: water that is stopped at once hits like a hammer.

When the gate is closed, open the drain below it. What is left in the pipe runs into the tailrace.

## Opening it again

Close the drain first. Then turn the wheel by a quarter, wait until the pipe is full, and open it the whole way.
"""
TURBINE = """# Turbines

The hall has two Francis turbines of twelve megawatts each. Their runners were renewed in 2019 and last for about
thirty years.

## Inspection

Each turbine is inspected every second spring, when the river is low. An inspection takes nine days.
"""
HOSTILE = """# <img src=x onerror=alert(1)>

The warden's note says <script>alert('text')</script> and "><svg onload=alert(2)> and nothing of it is markup.
"""
DOCUMENTS = {
    "guide/gate.md": GUIDE,
    "guide/turbines.md": TURBINE,
    "guide/<b onmouseover=alert(3)>notes.md": HOSTILE,
    "reports/Größe & Länge.txt": "The weir is 84 metres long 🌊 and its crest lies 212.4 metres above the sea.\n",
    "reports/broken.pdf": "%PDF-1.7 this is not one",
}


class ScriptedApp:
    """Answers from the passages found, in a way that the question asks for."""

    name = "plant"

    def __init__(self, knowledge: KnowledgeBase) -> None:
        self._knowledge = knowledge
        self.go_on = asyncio.Event()

    async def close(self) -> None:
        pass

    async def answer(self, exchange: Exchange) -> AsyncIterator[Chunk]:
        """ "nobody" is unanswered, "break" fails midway, "wait" holds until `go_on`, "write" composes,
        "markup" answers with markup; anything else quotes."""
        question = exchange.messages[-1].text
        tracer = exchange.tracer
        query = Query(text=question, reader=reader_of(exchange.principal), limit=4)
        result = await self._knowledge.search(query, tracer)
        answered = "nobody" not in question
        citations = tuple(
            cited(self._knowledge, hit, number) for number, hit in enumerate(result.hits, 1) if hit.score > 0
        )
        mode = "compose" if "write" in question or "markup" in question else "quote"
        if mode == "quote" and answered:
            citations = citations[:2]
        evidence = Grounding(
            stage="evidence",
            mode=mode,
            knowledge=self._knowledge.name,
            generation=result.generation,
            answered=answered,
            score=0.91 if answered else 0.08,
            citations=citations,
        )
        yield Chunk(grounding=evidence)
        if "break" in question:
            raise EngineStopped("The engine of 'tiny' stopped.", hint="It starts again by itself; ask again.")
        text, final = script(question, evidence)
        if tracer is not None and mode == "compose":
            sent = (Message("system", "Answer from the passages only."), Message("user", question))
            with tracer.span("generate", "llm", model="tiny", messages=sent):
                await asyncio.sleep(0.01)
        for at in range(0, len(text), 12):
            yield Chunk(text=text[at : at + 12])
            if "wait" in question and at >= 36:
                await self.go_on.wait()
        yield Chunk(grounding=final, finish_reason="stop", usage=Usage(183, len(text) // 4))


def script(question: str, evidence: Grounding) -> tuple[str, Grounding]:
    """The answer's text, and what it stands on."""
    if not evidence.answered:
        return "The documents do not say.", with_stage(evidence, ())
    first = evidence.citations[0]
    if "markup" in question:
        text = (
            "**Bold** and <script>alert('answer')</script><img src=x onerror=alert(4)>\n\n- one\n- two "
            "[link](javascript:alert(5)) and [site](https://example.com/a)\n\n```\n<b>code</b>\n```"
        )
        return text, with_stage(evidence, ())
    if evidence.mode == "compose":
        supported = "Turn the wheel clockwise, slowly 🌊, until the marks meet."
        text = f"{supported} The wheel is painted blue."
        unsupported = ((len(supported) + 1, len(text)),)
        return text, with_stage(evidence, (placed(first, 0, len(supported)),), unsupported)
    text, spans = "", []
    for citation in evidence.citations:
        start = len(text) + bool(text)
        text += f"{' ' if text else ''}{citation.quote} [{citation.number}]"
        spans.append(placed(citation, start, len(text)))
    return text, with_stage(evidence, tuple(spans))


def with_stage(
    evidence: Grounding, citations: tuple[Citation, ...], unsupported: tuple[tuple[int, int], ...] = ()
) -> Grounding:
    return Grounding(
        stage="answer",
        mode=evidence.mode,
        knowledge=evidence.knowledge,
        generation=evidence.generation,
        answered=evidence.answered,
        score=evidence.score,
        citations=citations,
        unsupported=unsupported,
    )


def placed(citation: Citation, start: int, end: int) -> Citation:
    fields = {name: getattr(citation, name) for name in Citation.__struct_fields__}
    return Citation(**{**fields, "answer_start": start, "answer_end": end})


def cited(base: KnowledgeBase, hit: Hit, number: int) -> Citation:
    """The first sentence of a passage, found in the document's text."""
    text = base.document(hit.document_id, EVERYTHING).text
    body = text[hit.start : hit.end]
    start = hit.start + max(body.rfind("\n\n", 0, body.find(". ")), 0)
    start += len(text[start : hit.end]) - len(text[start : hit.end].lstrip())
    stop = text.find(". ", start, hit.end)
    end = stop + 1 if stop >= 0 else hit.end
    return Citation(
        number=number,
        document_id=hit.document_id,
        document=hit.document,
        title=hit.title,
        chunk_id=hit.chunk_id,
        heading=hit.heading,
        page=hit.page,
        start=start,
        end=end,
        quote=text[start:end],
        score=hit.score,
        url=f"/knowledge/{base.name}/{hit.document_id}?chunk={hit.chunk_id}&start={start}&end={end}",
    )


@asynccontextmanager
async def open_site(folder: Path) -> AsyncIterator[Services]:
    """Takes the documents in and puts the parts together."""
    for name, text in DOCUMENTS.items():
        path = folder / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    base = KnowledgeBase.open(
        folder / "knowledge-manuals.db", "manuals", FakeEmbedder(), KnowledgeOptions(max_file_bytes=1_000_000)
    )
    await base.ingest(Sources(folder / "docs"))
    traces = TraceStore.open(folder / "traces.db")
    app = ScriptedApp(base)
    plant = Target(name="plant", kind="app", provider=app, operations=frozenset({"chat"}), projects=("local",))
    registry = Registry([plant])
    meter = Meter()
    yield Services(
        app_name="plant",
        settings=Settings(
            app=AppSettings(name="plant"),
            models={},
            knowledge={"manuals": KnowledgeSettings(sources=("docs/**/*",), max_file_mb=1.0)},
        ),
        pipeline=Pipeline(standard_stages(registry, traces, meter, admission=Admission(8))),
        registry=registry,
        traces=traces,
        knowledge={"manuals": base},
        meter=meter,
    )
    traces.close()
    base.close()
