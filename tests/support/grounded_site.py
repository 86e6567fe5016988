"""A keyed site whose app really answers from documents, one of which is only for the group `hr`."""

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from penstock.gateway.admission import Admission
from penstock.gateway.meter import Meter
from penstock.gateway.pipeline import Pipeline, standard_stages
from penstock.gateway.registry import Registry, Target
from penstock.knowledge.answer import AnswerSettings, GroundedApp
from penstock.knowledge.base import KnowledgeBase, Sources
from penstock.seams import Embedder
from penstock.testing import FakeProvider
from support.hash_embedder import HashEmbedder
from support.keyed_site import OTHER, KeyedSite, keyed_site

QUESTION = "How much does a night in the harbour cost?"
OPEN = "A night in the harbour costs twelve euros."
SECRET = "A night in the harbour costs nothing for Mara Lindqvist."


@asynccontextmanager
async def grounded_site(folder: Path, embedder: Embedder | None = None) -> AsyncIterator[KeyedSite]:
    """Open to the project `team-b`, too. Everything is answered, for the threshold is 0."""
    docs = folder / "papers"
    docs.mkdir()
    (docs / "fees.txt").write_text(OPEN)
    (docs / "boats.txt").write_text("Boats leave at noon. A ticket for the boat costs three euros.")
    embedder = embedder or HashEmbedder(dimensions=128)
    base = KnowledgeBase.open(folder / "papers.db", "papers", embedder)
    async with keyed_site(folder) as it:
        await base.ingest(Sources(docs))
        app = GroundedApp("plant", base, embedder, None, AnswerSettings(mode="quote", threshold=0.0, sentences=1))
        plant = Target(
            name="plant",
            kind="app",
            provider=app,
            operations=frozenset({"chat"}),
            release_id="rel_1",
            projects=("local", OTHER),
        )
        model = Target(name="tiny", kind="model", provider=FakeProvider("Hello"), operations=frozenset({"chat"}))
        registry = Registry([plant, model])
        stages = standard_stages(registry, it.services.traces, Meter(), admission=Admission(8))
        settings = it.services.settings.app.model_copy(update={"projects": (OTHER,)})
        it.services = dataclasses.replace(
            it.services,
            settings=it.services.settings.model_copy(update={"app": settings}),
            registry=registry,
            pipeline=Pipeline(stages),
            knowledge={"papers": base},
        )
        await it.stop()
        await it.start()
        owner = await it.secret("root", "owner")
        secret = {"key": "wages.txt", "text": SECRET, "readers": ["group:hr"]}
        pushed = await it.ask("POST", "/api/v1/knowledge/papers/documents", owner, json={"documents": [secret]})
        assert pushed.status == 201, pushed.body
        yield it
    base.close()
