"""Reading files in a child: one that hangs, crashes or eats memory costs only itself."""

import asyncio
import os
import select
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from support import damaged
from support.documents import book, handbook, pdf, scanned, workbook

from penstock.knowledge.chunking import ChunkOptions
from penstock.knowledge.loaders.base import ReadRules
from penstock.knowledge.loaders.child import read
from penstock.knowledge.loaders.kinds import PARSERS, Kind, loader_of, parser_of
from penstock.knowledge.loaders.messages import ReaderSetup, ReadRequest, ReadResult
from penstock.knowledge.loaders.process import FileReader
from penstock.knowledge.values import KnowledgeOptions
from penstock.process import ChildCommand

SETUP = ReaderSetup(memory_bytes=1 << 30, max_file_bytes=10_000)


def request(path: Path) -> ReadRequest:
    return ReadRequest(path=os.fsencode(path), kind="text", chunking=ChunkOptions())


class TestChild:
    """One file in this process, as the child reads it."""

    def test_text_digest_and_stat_are_of_the_same_bytes(self, tmp_path: Path) -> None:
        path = tmp_path / "a.txt"
        path.write_text("Rules\n=====\n\nShips obey.")
        result = read(request(path), SETUP)
        assert result.status == "ok"
        assert result.text == path.read_text()
        assert result.title == "Rules"
        assert result.stat is not None and result.stat.inode == path.stat().st_ino
        [passage] = result.passages
        assert result.text[passage.start : passage.end] == result.text
        assert passage.heading == ("Rules",)

    @pytest.mark.parametrize(
        ("content", "status", "reason"),
        [
            (b"", "no_text", "It is empty."),
            (b" \n\t \n", "no_text", "There is no text in it."),
            (b"x" * 10_001, "too_large", "It has 0 MB, more than the 0 MB that one file may have."),
            (b"\0\1\2" * 99, "corrupt", "not text but binary"),
        ],
    )
    def test_a_file_without_text_says_why(self, tmp_path: Path, content: bytes, status: str, reason: str) -> None:
        path = tmp_path / "a.txt"
        path.write_bytes(content)
        result = read(request(path), SETUP)
        assert result.status == status
        assert reason in result.reason

    def test_what_is_not_there_or_no_file_says_so(self, tmp_path: Path) -> None:
        assert read(request(tmp_path / "gone.txt"), SETUP).status == "vanished"
        assert read(request(tmp_path), SETUP).status == "unsupported"
        os.mkfifo(tmp_path / "pipe.txt")
        assert read(request(tmp_path / "pipe.txt"), SETUP).status == "unsupported"

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_a_file_without_permission_says_so(self, tmp_path: Path) -> None:
        path = tmp_path / "a.txt"
        path.write_text("secret")
        path.chmod(0)
        result = read(request(path), SETUP)
        assert result.status == "unreadable"
        assert "Give yourself the right" in result.reason

    def test_a_file_that_keeps_changing_is_left_for_the_next_run(self, tmp_path: Path) -> None:
        """/proc files have size 0 and yet content, as a file does that grows while it is read."""
        path = Path("/proc/self/stat")
        if not path.exists():
            pytest.skip("needs /proc")
        assert read(request(path), SETUP).status == "unreadable"

    def test_a_large_file_is_refused_unread(self, tmp_path: Path) -> None:
        path = tmp_path / "large.txt"
        with path.open("wb") as file:
            file.truncate(500_000_000)
        setup = msgspec.structs.replace(SETUP, max_file_bytes=50_000_000)
        result = read(request(path), setup)
        assert result.status == "too_large"
        assert result.reason.startswith("It has 500 MB, more than the 50 MB that one file may have.")


class ObedientReader(FileReader):
    """A reader whose child does what the text says."""

    def __init__(self, options: KnowledgeOptions) -> None:
        super().__init__(options)
        command = self._child.command
        self._child.command = ChildCommand(
            name=command.name, module="slow_kinds", setup=command.setup, start_timeout=command.start_timeout
        )


@pytest.fixture
async def reader(support_on_path: None) -> AsyncIterator[FileReader]:
    reader = ObedientReader(KnowledgeOptions(parse_seconds=1.0, parse_memory_bytes=1 << 30))
    yield reader
    await reader.stop()


async def test_each_file_ends_in_its_own_status_and_the_next_is_read(reader: FileReader, tmp_path: Path) -> None:
    async def ask(text: str) -> ReadResult:
        path = tmp_path / "a.txt"
        path.write_text(text)
        return await reader.read(request(path))

    assert (await ask("before")).text == "before"
    hung = await ask("hang")
    assert (hung.status, hung.reason) == (
        "timeout",
        "Reading it took longer than 1 s. Split it, or raise parse_seconds.",
    )
    assert (await ask("between")).text == "between"
    crashed = await ask("crash")
    assert crashed.status == "corrupt"
    assert "SIGABRT" in crashed.reason
    eaten = await ask("eat")
    assert (eaten.status, "more than 1073 MB of memory" in eaten.reason) == ("too_large", True)
    failed = await ask("fail")
    assert failed.status == "corrupt"
    assert "LookupError: no such chapter" in failed.reason
    assert (await ask("surrogate")).text == "half ? of a pair"
    assert (await ask("after")).text == "after"


async def test_stopping_a_reader_that_never_read_is_nothing() -> None:
    await FileReader(KnowledgeOptions()).stop()


async def test_a_reader_that_is_given_up_while_it_starts_leaves_no_process(tmp_path: Path) -> None:
    reader = FileReader(KnowledgeOptions())
    asking = asyncio.create_task(reader.read(request(tmp_path / "a.txt")))
    while (pid := reader._child.pid) is None:  # noqa: ASYNC110 — its process is started in the background
        await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await reader.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.fixture
async def real_reader() -> AsyncIterator[FileReader]:
    reader = FileReader(KnowledgeOptions(parse_seconds=30.0, parse_memory_bytes=1 << 30))
    yield reader
    await reader.stop()


async def ask_for(reader: FileReader, path: Path, kind: Kind, data: bytes) -> ReadResult:
    await asyncio.to_thread(path.write_bytes, data)
    return await reader.read(ReadRequest(path=os.fsencode(path), kind=kind, chunking=ChunkOptions()))


async def test_hostile_files_end_in_a_status_within_the_limits_of_the_child(
    real_reader: FileReader, tmp_path: Path
) -> None:
    laughs = f"<?xml version='1.0'?>{damaged.LAUGHS}]><a>&a9;</a>".encode()
    asked: list[tuple[Kind, bytes, str]] = [
        ("docx", damaged.bomb(handbook(), "word/document.xml", megabytes=151), "too_large"),
        ("xlsx", damaged.with_part(workbook({"a": [["b"]]}), "xl/worksheets/sheet1.xml", laughs), "corrupt"),
        ("epub", damaged.encrypted_archive(book([("One", "Text.")])), "encrypted"),
        ("json", b"[" * 1_000_000, "corrupt"),
        ("html", b"<div>" * 5_000 + b"end", "ok"),
        ("csv", b'a,b\n1,"' + b"x,\n" * 70_000, "partial"),
        ("text", b"Still there.", "ok"),
    ]
    for kind, data, status in asked:
        result = await ask_for(real_reader, tmp_path / "file", kind, data)
        assert (result.status, kind) == (status, kind), result.reason
        assert bool(result.reason) == (status != "ok")


async def test_passages_say_where_they_stand(real_reader: FileReader, tmp_path: Path) -> None:
    fees = [["ship", "euros"], *([f"ship number {n} of the harbour", n] for n in range(100))]
    result = await ask_for(real_reader, tmp_path / "file", "xlsx", workbook({"Fees": fees}))
    assert len(result.passages) > 3
    assert result.passages[0].location.startswith("sheet Fees, rows 1–")
    assert result.passages[-1].location.endswith("–101")
    assert all(passage.page is None for passage in result.passages)
    markdown = b"---\ntitle: T\nteam: hr\nyears: [2025, 2026]\nowner: {name: Ann}\nwhen: 2026-01-02\n---\nText."
    result = await ask_for(real_reader, tmp_path / "file", "markdown", markdown)
    assert (result.title, result.text) == ("T", "Text.")
    assert result.metadata == {"team": "hr", "years": ("2025", "2026"), "owner.name": "Ann", "when": "2026-01-02"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
async def test_tesseract_ends_with_the_reader_that_started_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader is killed when a file takes too long; what it started may not go on without it."""
    told = tmp_path / "told"
    os.mkfifo(told)
    program = tmp_path / "bin" / "tesseract"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho $$ > {told}\nexec {shutil.which('sleep')} 600\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    reader = FileReader(KnowledgeOptions())
    try:
        reading = asyncio.create_task(
            ask_for(reader, tmp_path / "file", "pdf", scanned(pdf([[(24, "All ships obey.")]])))
        )
        pid = int(await asyncio.to_thread(told.read_text))
        process = os.pidfd_open(pid)
        reader._child.kill()
        assert (await reading).status == "corrupt"
        ended = await asyncio.to_thread(select.select, [process], [], [], 10.0)
        os.close(process)
        assert ended[0]
    finally:
        await reader.stop()


@pytest.mark.parametrize("kind", PARSERS)
def test_every_kind_has_a_loader_and_a_parser_with_its_version(kind: Kind) -> None:
    assert callable(loader_of(kind, ReadRules()))
    name, *library = parser_of(kind).split()
    assert name == f"{kind}/{PARSERS[kind].version}"
    assert not PARSERS[kind].library or (library[0] == PARSERS[kind].library and library[1][0].isdecimal())
