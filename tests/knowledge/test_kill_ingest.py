"""kill -9 at any moment of a run: the store opens, shows one whole generation, and the next run goes on."""

import asyncio
import hashlib
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from support import kill_ingest
from support.hash_embedder import HashEmbedder
from support.knowledge_checks import check_store, connect

from penstock.knowledge.base import KnowledgeBase, Sources

SEED = 20260117


async def take_in(docs: Path, database: Path) -> HashEmbedder:
    embedder = HashEmbedder()
    base = KnowledgeBase.open(database, "docs", embedder, kill_ingest.OPTIONS)
    await base.ingest(Sources(docs))
    base.close()
    return embedder


async def looked_at(database: Path) -> str:
    """The hash of the newest generation, of a store in which nothing differs from what was written."""
    base = KnowledgeBase.open(database, "docs", HashEmbedder(), kill_ingest.OPTIONS)
    try:
        found = await base.verify()
        assert found.sound, found.differences
        return base.content_hash()
    finally:
        base.close()


@pytest.mark.parametrize("kills", [12, pytest.param(200, marks=pytest.mark.slow)])
async def test_a_store_survives_kills_and_ends_as_if_there_had_been_none(tmp_path: Path, kills: int) -> None:
    arguments = [sys.executable, kill_ingest.__file__, str(tmp_path), str(kills), str(SEED)]
    killing = await asyncio.create_subprocess_exec(*arguments, stdout=PIPE, stderr=PIPE)
    output, complaints = await killing.communicate()
    assert killing.returncode == 0, complaints.decode()
    generations = output.split()
    assert len(generations) == kills
    assert len(set(generations)) > kills / 20, "hardly a run was finished between the kills"

    database = tmp_path / "knowledge.db"
    with connect(database) as connection:
        written = {digest for (digest,) in connection.execute("SELECT digest FROM embedding")}
    resumed = await take_in(tmp_path / "docs", database)
    embedded = {hashlib.sha256(text.encode()).digest() for text in resumed.texts}
    assert not embedded & written, "what was written before the last kill was embedded again"
    check_store(database)

    await take_in(tmp_path / "docs", tmp_path / "fresh.db")
    assert await looked_at(database) == await looked_at(tmp_path / "fresh.db")
    assert (await take_in(tmp_path / "docs", database)).texts == []
