"""A request that ends between two rounds of search: its trace keeps what the first one found."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import pytest
from support.grounded_site import OPEN, grounded_site
from support.hash_embedder import HashEmbedder

from penstock.exchange import LOCAL_PROJECT
from penstock.seams import Embeddings, TextKind
from penstock.traces.span import TraceFilter

SECOND = "who paints the boats?"
QUESTION = f"How much does a night in the harbour cost and {SECOND}"


class HeldEmbedder(HashEmbedder):
    """Does not come to an end with the query of the second round."""

    def __init__(self) -> None:
        super().__init__(dimensions=128)
        self.reached = asyncio.Event()

    async def embed(self, texts: Sequence[str], *, urgent: bool = False, kind: TextKind = "passage") -> Embeddings:
        if any(text.startswith(SECOND) for text in texts):
            self.reached.set()
            await asyncio.Event().wait()
        return await super().embed(texts, urgent=urgent, kind=kind)


async def test_the_first_round_is_kept(tmp_path: Path) -> None:
    embedder = HeldEmbedder()
    async with grounded_site(tmp_path, embedder) as it:
        key = await it.secret("web")
        asking = asyncio.create_task(it.chat(key, "plant", QUESTION))
        await asyncio.wait_for(embedder.reached.wait(), 30)
        asking.cancel()
        with pytest.raises((asyncio.CancelledError, aiohttp.ClientError)):
            await asking
        traces = it.services.traces
        async with asyncio.timeout(30):
            while not (found := (await traces.list(TraceFilter(project_id=LOCAL_PROJECT))).traces):
                await traces.flush()
        detail = await traces.get(found[0].id, LOCAL_PROJECT)
    assert detail is not None
    assert (detail.trace.status, detail.trace.question) == ("cancelled", QUESTION)
    spans = {span.name: span for span in detail.spans}
    first, second = spans["round 1"], spans["round 2"]
    assert first.status == "ok"
    assert first.values()["penstock.round.next"].startswith(SECOND)
    assert second.status != "ok"
    below = {span.name: span for span in detail.spans if span.parent_id == first.id}
    assert (below["search"].status, below["evidence"].status) == ("ok", "ok")
    assert below["evidence"].values()["sentences"][0]["text"] == OPEN
    assert "fees.txt" in str(below["search"].values())
