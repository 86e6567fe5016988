"""A generation that the configuration names: readers are there whatever runs and commands do, and it stays."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.hash_embedder import HashEmbedder

from penstock.config import load
from penstock.errors import ConfigError, Conflict
from penstock.exchange import Message
from penstock.knowledge.base import EVERYTHING, KnowledgeBase, KnowledgeOptions, Query, Sources
from penstock.knowledge.chunking import ChunkOptions
from penstock.platform import Platform

OPTIONS = KnowledgeOptions(chunking=ChunkOptions(tokens=40), keep_generations=2)
QUESTION = Query(text="version", reader=EVERYTHING)


@pytest.fixture
def base(tmp_path: Path) -> Iterator[KnowledgeBase]:
    it = KnowledgeBase.open(tmp_path / "k.db", "docs", HashEmbedder(), OPTIONS)
    yield it
    it.close()


def write(docs: Path, version: int) -> None:
    docs.mkdir(exist_ok=True)
    (docs / "a.txt").write_text(f"Version {version}.")


async def make(base: KnowledgeBase, docs: Path, version: int) -> int:
    write(docs, version)
    return (await base.ingest(Sources(docs))).generation


async def test_readers_are_where_the_configuration_says_until_it_says_nothing(
    base: KnowledgeBase, tmp_path: Path
) -> None:
    for version in (1, 2):
        await make(base, tmp_path / "docs", version)
    await base.generations.follow("docs", 1)
    for version in (3, 4, 5):
        assert await make(base, tmp_path / "docs", version) == version
    assert base.generation() == 1
    assert [hit.text for hit in (await base.search(QUESTION)).hits] == ["Version 1."]
    assert [row.characters for row in base.documents(EVERYTHING)] == [10]
    assert base.counts(EVERYTHING).generation == 1
    shown = {each.number: (each.published, each.pinned, each.configured) for each in base.generations.kept()}
    assert shown[1] == (True, True, True)
    assert shown[5] == (False, False, False)
    assert (await base.verify()).differences == ()
    await base.generations.follow("docs", None)
    assert [hit.text for hit in (await base.search(QUESTION)).hits] == ["Version 5."]
    await make(base, tmp_path / "docs", 6)
    assert [each.number for each in base.generations.kept()] == [6, 5]


async def test_commands_say_that_the_configuration_stands_over_them(base: KnowledgeBase, tmp_path: Path) -> None:
    for version in (1, 2):
        await make(base, tmp_path / "docs", version)
    await base.generations.follow("docs", 2)
    for moved in (base.generations.roll_back(1), base.generations.publish(1), base.generations.publish()):
        with pytest.raises(Conflict, match=r"The configuration keeps readers at generation 2\.") as caught:
            await moved
        assert "`generation` under [knowledge.NAME]" in caught.value.hint
    assert base.generation() == 2


async def test_a_generation_that_is_not_kept_is_refused(base: KnowledgeBase, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"knowledge\.docs\.generation is 7, which is not kept: none is kept"):
        await base.generations.follow("docs", 7)
    for version in (1, 2, 3):
        await make(base, tmp_path / "docs", version)
    with pytest.raises(ConfigError, match="generation is 1, which is not kept: kept are 3, 2") as caught:
        await base.generations.follow("docs", 1)
    assert "`penstock knowledge generations`" in caught.value.hint
    assert base.generation() == 3


async def test_what_was_gone_back_to_is_there_when_the_configuration_says_nothing_any_more(
    base: KnowledgeBase, tmp_path: Path
) -> None:
    for version in (1, 2):
        await make(base, tmp_path / "docs", version)
    await base.generations.roll_back(1)
    await base.generations.follow("docs", 2)
    for version in (3, 4, 5):
        await make(base, tmp_path / "docs", version)
    await base.generations.follow("docs", None)
    assert [hit.text for hit in (await base.search(QUESTION)).hits] == ["Version 1."]


@settings(max_examples=6, deadline=None)
@given(st.lists(st.sampled_from(("run", "publish", "back", "pin", "unpin")), min_size=4, max_size=8))
def test_readers_always_see_a_generation_that_is_there(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("steps")
    few = msgspec.structs.replace(OPTIONS, keep_generations=1)

    async def play() -> None:
        base = KnowledgeBase.open(folder / "k.db", "docs", HashEmbedder(), few)
        try:
            made = await make(base, folder / "docs", 0)
            pinned = None
            for step in steps:
                if step == "run":
                    made = await make(base, folder / "docs", made)
                elif step == "pin":
                    pinned = base.generation()
                    await base.generations.follow("docs", pinned)
                elif step == "unpin":
                    pinned = None
                    await base.generations.follow("docs", None)
                elif pinned is None:
                    number = base.generations.kept()[-1].number
                    await (base.generations.publish() if step == "publish" else base.generations.roll_back(number))
                assert base.generation() == pinned or pinned is None
                assert base.generation() in {each.number for each in base.generations.kept()}
                assert (await base.search(QUESTION)).hits
        finally:
            base.close()

    asyncio.run(play())


APP = '[knowledge.docs]\nsources = ["docs/*"]\n'


async def test_answers_and_their_release_name_the_generation_that_the_file_says(
    tmp_path: Path, minilm_folder: Path
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "penstock.toml").write_text(APP)
    for cost in ("twelve", "thirteen"):
        (tmp_path / "docs" / "fees.txt").write_text(f"A night in the harbour costs {cost} euros.")
        async with Platform.open(load(tmp_path)) as platform:
            await platform.ingest()
            assert platform.release is not None
            live = platform.release
    assert live.parts["knowledge"]["docs"]["generation"] == "live"
    (tmp_path / "penstock.toml").write_text(f"{APP}generation = 1\n")
    async with Platform.open(load(tmp_path)) as platform:
        assert platform.release is not None
        assert platform.release.parts["knowledge"]["docs"]["generation"] == 1
        assert platform.release.id != live.id
        exchange = platform.exchange([Message("user", "How much does a night in the harbour cost?")])
        text = "".join([chunk.text async for chunk in platform.pipeline.run(exchange)])
        assert "twelve" in text
    (tmp_path / "penstock.toml").write_text(f"{APP}generation = 9\n")
    with pytest.raises(ConfigError, match=r"knowledge\.docs\.generation is 9, which is not kept: kept are 2, 1"):
        async with Platform.open(load(tmp_path)):
            pass
