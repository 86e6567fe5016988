"""Where each knowledge takes its documents from, and when it does so by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.config import AppFolder
from penstock.config.knowledge import KnowledgeSettings
from penstock.config.secret import Secret
from penstock.config.sources import GitSettings, S3Settings, SourceSettings, SqlSettings, WebSettings
from penstock.errors import PenstockError
from penstock.knowledge.ingestion.jobs import IngestionJobs
from penstock.knowledge.ingestion.records import RunRules, Trigger
from penstock.knowledge.sources.base import Source, SourceRules
from penstock.knowledge.sources.deferred import DeferredSource
from penstock.knowledge.sources.folder import FolderSource
from penstock.knowledge.sources.schedule import Schedule, Timetable
from penstock.knowledge.sources.watch import changes
from penstock.knowledge.values import Sources

logger = logging.getLogger(__name__)

MB = 1_000_000
LONGEST_SLEEP = 60.0
"""Seconds after which the clock is looked at again: a machine may sleep, or be given another time."""


def sources_of(folder: AppFolder) -> dict[str, tuple[Source, ...]]:
    """The sources of each knowledge base. Passwords are looked up when a source is listed."""
    return {name: tuple(_sources(folder, name)) for name in folder.settings.knowledge}


def files_of(folder: AppFolder, knowledge: str) -> Sources:
    """The app's own files."""
    settings = folder.settings.knowledge[knowledge]
    return Sources(folder.source_root, settings.sources, folder.excludes(knowledge))


def _sources(folder: AppFolder, knowledge: str) -> Iterator[Source]:
    settings = folder.settings.knowledge[knowledge]
    if settings.sources:
        yield FolderSource(files_of(folder, knowledge), rules_of(settings))
    made = _Making(folder, settings, folder.data / "sources" / knowledge)
    for name, web in settings.web.items():
        yield DeferredSource(f"web.{name}", web.max_delete, partial(made.web, name, web))
    for name, s3 in settings.s3.items():
        yield DeferredSource(f"s3.{name}", s3.max_delete, partial(made.s3, name, s3))
    for name, git in settings.git.items():
        yield DeferredSource(f"git.{name}", git.max_delete, partial(made.git, name, git))
    for name, sql in settings.sql.items():
        yield DeferredSource(f"sql.{name}", sql.max_delete, partial(made.sql, name, sql))


def rules_of(settings: SourceSettings) -> SourceRules:
    return SourceRules(metadata=settings.metadata, readers=settings.readers, max_delete=settings.max_delete)


class _Making:
    """Makes the sources of one knowledge, importing what each needs; `workspace` is for what they keep."""

    def __init__(self, folder: AppFolder, settings: KnowledgeSettings, workspace: Path) -> None:
        self._folder = folder
        self._workspace = workspace
        self._max_bytes = int(settings.max_file_mb * MB)

    def web(self, name: str, settings: WebSettings) -> Source:
        from penstock.knowledge.sources.visits import WebLimits
        from penstock.knowledge.sources.web import WebOptions, WebSource

        options = WebOptions(
            urls=settings.urls,
            sitemaps=settings.sitemaps,
            hosts=settings.hosts,
            include=settings.include,
            exclude=settings.exclude,
            depth=settings.depth,
            max_pages=settings.max_pages,
            respect_robots=settings.respect_robots,
            allow_private=settings.allow_private,
            limits=WebLimits(max_bytes=self._max_bytes, rate=settings.rate, user_agent=settings.user_agent),
        )
        return WebSource(name, options, rules_of(settings), self._workspace)

    def s3(self, name: str, settings: S3Settings) -> Source:
        from penstock.knowledge.sources.s3 import Bucket, S3Options, S3Source
        from penstock.models.providers.signing import Credentials

        credentials = None
        if settings.access_key is not None and settings.secret_key is not None:
            token = revealed(settings.session_token)
            credentials = Credentials(settings.access_key.reveal(), settings.secret_key.reveal(), token)
        bucket = Bucket(
            name=settings.bucket,
            prefix=settings.prefix,
            endpoint=settings.endpoint or "",
            region=settings.region,
            credentials=credentials,
        )
        options = S3Options(
            include=settings.include, exclude=settings.exclude, link=settings.link, max_bytes=self._max_bytes
        )
        return S3Source(name, bucket, options, rules_of(settings))

    def git(self, name: str, settings: GitSettings) -> Source:
        from penstock.knowledge.sources.git import GitOptions, GitSource, Repository

        address = settings.url or str((self._folder.root / (settings.path or "")).resolve())
        repository = Repository(
            address=address,
            branch=settings.branch,
            username=settings.username,
            token=revealed(settings.token),
        )
        options = GitOptions(
            include=settings.include, exclude=settings.exclude, link=settings.link, max_bytes=self._max_bytes
        )
        return GitSource(name, repository, options, rules_of(settings), self._workspace)

    def sql(self, name: str, settings: SqlSettings) -> Source:
        from penstock.knowledge.sources.repository import QueryDatabase
        from penstock.knowledge.sources.sql import SqlOptions, SqlSource

        database = QueryDatabase(f"sql.{name}", settings.database.reveal(), settings.query, self._folder.root)
        options = SqlOptions(
            key=settings.key,
            text=settings.text,
            format=settings.format,
            title=settings.title,
            link=settings.link,
            updated=settings.updated,
            metadata_columns=settings.metadata_columns,
            readers_column=settings.readers_column,
            max_bytes=self._max_bytes,
        )
        return SqlSource(name, database, options, rules_of(settings))


def revealed(secret: Secret | None) -> str:
    return "" if secret is None else secret.reveal()


def schedules_of(settings: KnowledgeSettings) -> dict[str, Schedule]:
    """The schedule of each source that has one, by the name of the source."""
    named: dict[str, SourceSettings] = {"folder": settings} | settings.by_source
    return {name: Schedule(each.schedule, each.timezone) for name, each in named.items() if each.schedule}


class Reingestion:
    """Asks for runs when sources are due or files change. The runs are durable jobs, one at a time for a knowledge;
    one that fails stands in the list of runs with its error, and the next is made all the same."""

    def __init__(self, folder: AppFolder, ingestions: IngestionJobs, clock: Clock = SYSTEM_CLOCK) -> None:
        self._folder = folder
        self._ingestions = ingestions
        self._clock = clock

    async def follow(self) -> None:
        """Returns when it is cancelled, or at once where nothing is scheduled or watched."""
        async with asyncio.TaskGroup() as tasks:
            for name, settings in self._folder.settings.knowledge.items():
                if schedules := schedules_of(settings):
                    tasks.create_task(self.keep(name, Timetable(schedules, self._clock.now_us())))
                if settings.watch and settings.sources:
                    tasks.create_task(self.watch(name))

    async def keep(self, name: str, timetable: Timetable) -> None:
        """Asks for a run of the sources that are due, whenever some are."""
        while (due := timetable.next_us()) is not None:
            wait = (due - self._clock.now_us()) / 1e6
            if wait > 0:
                await asyncio.sleep(min(wait, LONGEST_SLEEP))
            if names := timetable.take(self._clock.now_us()):
                await self._ask(name, "schedule", names)

    async def watch(self, name: str) -> None:
        """Asks for a run after every burst of changes."""
        sources = files_of(self._folder, name)
        try:
            async for _ in changes(sources):
                await self._ask(name, "watch", ("folder",))
        except OSError as error:
            logger.error("knowledge %s is not watched any more: %s; give it a schedule", name, error)

    async def _ask(self, name: str, trigger: Trigger, sources: tuple[str, ...]) -> None:
        try:
            await self._ingestions.submit(name, trigger, RunRules(sources=sources))
        except PenstockError as error:
            logger.error("knowledge %s was due, and no run could be noted: %s", name, error)
