"""Files that change are noticed, and what does not matter is not."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from penstock.knowledge.sources import watch
from penstock.knowledge.sources.watch import Watched, changes
from penstock.knowledge.values import Sources


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "QUIET_MS", 20)
    monkeypatch.setattr(watch, "LOOK_MS", 100)


async def test_a_change_a_new_file_and_a_deleted_one_are_told(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    note = tmp_path / "docs" / "a.md"
    async with asyncio.timeout(30), aclosing(changes(Sources(tmp_path, ("docs/**/*",)))) as bursts:
        for act in (lambda: note.write_text("1"), lambda: note.write_text("2"), note.unlink):
            told = asyncio.ensure_future(anext(bursts))
            while not told.done():  # the watch has begun once the first change is told
                act()
                await asyncio.wait({told}, timeout=0.2)
                if act == note.unlink:
                    note.write_text("3")


async def test_a_folder_that_comes_back_is_watched_again(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    async with asyncio.timeout(30), aclosing(changes(Sources(tmp_path, ("docs/**/*",)))) as bursts:
        for number in range(3):
            told = asyncio.ensure_future(anext(bursts))
            while not told.done():
                docs.mkdir(exist_ok=True)
                (docs / f"{number}.md").write_text("text")
                await asyncio.wait({told}, timeout=0.2)
                for path in docs.iterdir():
                    path.unlink()
                docs.rmdir()


async def test_a_folder_that_is_not_there_raises(tmp_path: Path) -> None:
    async with aclosing(changes(Sources(tmp_path / "nowhere" / "else"))) as bursts:
        with pytest.raises(OSError, match="No path was found"):
            await anext(bursts)


def test_what_matters(tmp_path: Path) -> None:
    for name in ("docs", "more/deep", "more/deep/er"):
        (tmp_path / name).mkdir(parents=True)
    watched = Watched(tmp_path, Sources(tmp_path, ("docs/**/*", "more/deep/*.md", "more/deep/er/*"), ("data/**",)))
    assert watched.folders() == (tmp_path / "docs", tmp_path / "more/deep")
    yes = ["docs/a.md", "docs", "docs/deep/x"]
    no = ["data/knowledge.db", ".penstock/x.db", "docs/.hidden", "docs/~$a.docx", "node_modules/x.md"]
    assert [name for name in yes if not watched.matters((), None, str(tmp_path / name))] == []
    assert [name for name in no if watched.matters((), None, str(tmp_path / name))] == []
    assert Watched(tmp_path, Sources(tmp_path, ("coming/**",))).folders() == (tmp_path,)
    single = Watched(tmp_path / "a.md", Sources(tmp_path / "a.md"))
    assert single.folders() == (tmp_path,)
    assert single.matters((), None, str(tmp_path / "a.md")) and not single.matters((), None, str(tmp_path / "b.md"))
