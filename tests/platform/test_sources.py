"""From a configuration to documents: sources of all kinds in one run, runs by schedule and by watching."""

import asyncio
import sqlite3
import subprocess
from pathlib import Path
from typing import cast

import pytest
from support.hash_embedder import HashEmbedder
from support.website import website

from penstock.clock import ManualClock
from penstock.config import load
from penstock.errors import ConfigError, StorageFull, UpstreamFailed
from penstock.knowledge.base import EVERYTHING, KnowledgeBase
from penstock.knowledge.ingestion.jobs import IngestionJobs
from penstock.knowledge.ingestion.records import RunRules
from penstock.knowledge.sources.schedule import Schedule, Timetable
from penstock.knowledge.values import SourceRemoved
from penstock.platform.knowledge import LONGEST_SLEEP, Reingestion, schedules_of, sources_of

TOML = """
[knowledge.docs]
sources = ["docs/**/*"]
metadata = {{ place = "files" }}
schedule = "0 3 * * *"

[knowledge.docs.web.site]
urls = ["{url}/"]
rate = 1000
metadata = {{ place = "web" }}
schedule = "*/30 * * * *"
timezone = "Europe/Berlin"

[knowledge.docs.git.handbook]
path = "../handbook"
readers = ["group:hr"]

[knowledge.docs.sql.articles]
database = {{ env = "ARTICLES" }}
query = "SELECT id, body FROM article"
key = "id"
text = "body"

[knowledge.docs.s3.reports]
bucket = "reports"
endpoint = "http://127.0.0.1:9"
access_key = {{ env = "S3_ID" }}
secret_key = {{ env = "S3_KEY" }}
"""


def commit(folder: Path) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run(["git", *who, *command], cwd=folder, check=True)


async def test_one_run_takes_in_all_sources_and_those_that_fail_fail_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTICLES", "sqlite:///articles.db")
    monkeypatch.delenv("S3_ID", raising=False)
    app, handbook = tmp_path / "app", tmp_path / "handbook"
    (app / "docs").mkdir(parents=True)
    (app / "docs" / "file.md").write_text("A file.")
    with sqlite3.connect(app / "articles.db") as connection:
        connection.execute("CREATE TABLE article (id, body)")
        connection.execute("INSERT INTO article VALUES (7, 'A row.')")
    handbook.mkdir()
    (handbook / "page.md").write_text("A commit.")
    commit(handbook)
    async with website() as site:
        site.pages = {"/": "<p>A page.</p>"}
        (app / "penstock.toml").write_text(TOML.format(url=site.url))
        folder = load(app)
        sources = sources_of(folder)["docs"]
        assert [source.name for source in sources] == [
            "folder",
            "web.site",
            "s3.reports",
            "git.handbook",
            "sql.articles",
        ]
        base = KnowledgeBase.open(tmp_path / "k.db", "docs", HashEmbedder())
        summary = await base.ingest(sources)
        found = {row.path: row for row in base.documents(EVERYTHING)}
        assert set(found) == {"docs/file.md", f"{site.url}/", "page.md", "7"}
        assert found["page.md"].readers == ("group:hr",) and found[f"{site.url}/"].metadata["place"] == "web"
        [problem] = summary.sources
        assert problem.source == "s3.reports" and "S3_ID is not set" in problem.reason
        site.pages = {}
        (handbook / ".git").rename(tmp_path / "away")
        again = await base.ingest(sources)
        assert {row.path for row in base.documents(EVERYTHING)} == {"docs/file.md", "page.md", "7"}
        assert {problem.source for problem in again.sources} == {"s3.reports", "git.handbook"}
        base.close()


async def test_only_what_penstock_reads_itself_is_no_document(tmp_path: Path) -> None:
    """A bare folder may have documents in folders called prompts or evals; its golden questions hold answers."""
    for name in ("a.md", "prompts/answer.md", "evals/golden.jsonl", "evals/report.md", "flows.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{"question": "x"}' if name.endswith("l") else "Words.")
    [bare] = sources_of(load(tmp_path))["docs"]
    listed = {item.key for item in (await bare.list(b"")).items}
    assert listed == {"a.md", "prompts/answer.md", "evals/report.md", "flows.py"}
    (tmp_path / "penstock.toml").write_text("")
    [own] = sources_of(load(tmp_path))["docs"]
    assert {item.key for item in (await own.list(b"")).items} == {"a.md"}


async def test_what_is_taken_out_of_the_configuration_is_no_longer_served(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for number in range(10):
        (tmp_path / "docs" / f"{number}.md").write_text(f"File {number}.")
    config = tmp_path / "penstock.toml"
    base = KnowledgeBase.open(tmp_path / "k.db", "docs", HashEmbedder())
    async with website() as site:
        site.pages = {"/": "<p>A page.</p>"}
        web = f'[knowledge.docs.web.site]\nurls = ["{site.url}/"]\nrate = 1000\nallow_private = true\n'
        config.write_text(f'[knowledge.docs]\nsources = ["docs/**/*"]\npush = true\n{web}')
        await base.ingest(sources_of(load(tmp_path))["docs"])
        assert len(base.documents(EVERYTHING)) == 11
        config.write_text(f"[knowledge.docs]\nsources = []\n{web}")
        summary = await base.ingest(sources_of(load(tmp_path))["docs"])
        assert summary.removed_sources == (SourceRemoved("folder", 10),)
        assert [row.source for row in base.documents(EVERYTHING)] == ["web.site"]
    config.write_text("[knowledge.docs]\nsources = []\npush = true\n")
    summary = await base.ingest(sources_of(load(tmp_path))["docs"])
    assert summary.removed_sources == (SourceRemoved("web.site", 1),)
    assert base.documents(EVERYTHING) == []
    base.close()


def test_schedules_are_by_source(tmp_path: Path) -> None:
    (tmp_path / "penstock.toml").write_text(TOML.format(url="https://example.com"))
    settings = load(tmp_path).settings.knowledge["docs"]
    assert schedules_of(settings) == {
        "folder": Schedule("0 3 * * *"),
        "web.site": Schedule("*/30 * * * *", "Europe/Berlin"),
    }


async def test_a_source_without_its_password_is_an_error_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "penstock.toml").write_text(TOML.format(url="https://example.com"))
    by_name = {source.name: source for source in sources_of(load(tmp_path))["docs"]}
    with pytest.raises(ConfigError, match="ARTICLES is not set"):
        await by_name["sql.articles"].list(b"")
    with pytest.raises(UpstreamFailed, match=r"git\.handbook"):
        await by_name["git.handbook"].list(b"")


class Runs:
    """Notes which runs are asked for; the first cannot be noted down."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, tuple[str, ...]]] = []
        self.changed = asyncio.Event()

    async def submit(self, name: str, trigger: str, rules: RunRules) -> None:
        self.asked.append((name, trigger, rules.sources))
        self.changed.set()
        if len(self.asked) == 1:
            raise StorageFull("The disk is full.")


async def test_runs_are_asked_for_when_they_are_due_whatever_came_of_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "penstock.toml").write_text(TOML.format(url="https://example.com"))
    clock, runs = ManualClock(1_767_225_600_000_000), Runs()
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(runs.asked) == 3:
            raise asyncio.CancelledError
        clock.advance(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    reingestion = Reingestion(load(tmp_path), cast(IngestionJobs, runs), clock)
    timetable = Timetable({"web.site": Schedule("*/30 * * * *")}, clock.now_us())
    with pytest.raises(asyncio.CancelledError):
        await reingestion.keep("docs", timetable)
    assert runs.asked == [("docs", "schedule", ("web.site",))] * 3
    assert clock.now_us() == 1_767_225_600_000_000 + 90 * 60 * 1_000_000
    assert max(slept) <= LONGEST_SLEEP


async def test_a_changed_file_asks_for_a_run(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "penstock.toml").write_text('[knowledge.docs]\nsources = ["docs/**/*"]\nwatch = true\n')
    runs = Runs()
    following = asyncio.create_task(Reingestion(load(tmp_path), cast(IngestionJobs, runs)).follow())
    async with asyncio.timeout(30):
        while not runs.changed.is_set():
            (tmp_path / "docs" / "a.md").write_text("text")
            await asyncio.wait({asyncio.ensure_future(runs.changed.wait())}, timeout=0.2)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert runs.asked[0] == ("docs", "watch", ("folder",))
