"""`[knowledge.NAME]`: the documents that the app answers from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Self

from pydantic import Field, field_validator, model_validator

from penstock.config.chunking import ChunkingSettings
from penstock.config.elsewhere import ElsewhereSettings
from penstock.config.searching import SearchingSettings
from penstock.config.sources import GitSettings, S3Settings, SourceSettings, SqlSettings, WebSettings
from penstock.config.table import Name, Texts, conflict

DEFAULT_EMBEDDER = "all-minilm-l6-v2"


class KnowledgeSettings(SourceSettings, ChunkingSettings, SearchingSettings, ElsewhereSettings):
    """Documents that the app answers from, by name. `metadata` to `watch` are of its files; other sources have
    their own."""

    sources: Texts = Field(
        description="Files, as patterns relative to the app folder; `**` is any depth. Default: `docs/**/*` in an "
        "app folder with `docs/`, else every file, or none where there is another source. Penstock's own files "
        "(`penstock.toml`, `prompts/`, `evals/`, `flows.py`, `.penstock/`) are never documents; without a "
        "`penstock.toml` those are `evals/golden.jsonl` and `.penstock/`.",
    )
    exclude: Texts = Field((), description="Files to leave out, as patterns like those of `sources`.")
    watch: bool = Field(False, description="Whether a running server takes in files as soon as they change.")
    push: bool = Field(
        False, description="Whether documents come through the API alone, so that `sources` may be empty."
    )
    web: dict[Name, WebSettings] = Field(default_factory=dict)
    s3: dict[Name, S3Settings] = Field(default_factory=dict)
    git: dict[Name, GitSettings] = Field(default_factory=dict)
    sql: dict[Name, SqlSettings] = Field(default_factory=dict)
    embedder: str = Field(
        DEFAULT_EMBEDDER,
        min_length=1,
        description="What turns text into vectors: a model of the catalog, `provider/model`, or a name of "
        "`[embedders]`. Another one makes all vectors anew.",
    )
    max_file_mb: float = Field(50.0, gt=0, description="Files larger than this many MB are reported and left out.")
    parse_seconds: float = Field(
        60.0, gt=0, description="Longest time to extract the text of one file, in seconds."
    )
    parse_memory_mb: int = Field(
        1024, ge=128, description="Memory that extracting one file's text may take, in MB."
    )
    ocr_languages: Texts = Field(
        (),
        description="What pictures of text are read in, by Tesseract's names, such as `deu` and `eng`. Default: "
        "the languages that are installed, if these are at most four, else `eng`. Another value reads PDFs again.",
    )
    keep_generations: int = Field(
        5,
        ge=1,
        le=1000,
        description="Generations that are kept to go back to, the newest among them. The one that readers see is "
        "always kept.",
    )
    generation: int | None = Field(
        None,
        ge=1,
        description="The generation that answers and searches are made from, whatever runs and `penstock knowledge "
        "publish` do: it is part of the release, and always kept. `penstock knowledge generations` lists them. "
        "Default: the published one.",
    )

    @field_validator("ocr_languages")
    @classmethod
    def _of_tesseract(cls, languages: tuple[str, ...]) -> tuple[str, ...]:
        for name in languages:
            if not re.fullmatch(r"[a-z]{3}(_[a-z]+)*", name):
                raise ValueError(f"{name!r} must be a language by Tesseract's name, such as 'deu' or 'chi_sim'")
        return languages

    @field_validator("sources", "exclude")
    @classmethod
    def _inside(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            if not pattern.strip() or pattern.startswith(("/", "~")) or ".." in pattern.split("/"):
                raise ValueError(f"{pattern!r} must be a pattern inside the app folder, such as 'docs/**/*'")
        return patterns

    @property
    def by_source(self) -> dict[str, SourceSettings]:
        """The settings of each configured source, by the name that its documents carry, such as `web.handbook`."""
        tables: dict[str, Mapping[str, SourceSettings]] = {
            "web": self.web,
            "s3": self.s3,
            "git": self.git,
            "sql": self.sql,
        }
        named: dict[str, SourceSettings] = {"folder": self} if self.sources else {}
        for kind, table in tables.items():
            named |= {f"{kind}.{name}": each for name, each in table.items()}
        return named

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """The sources beside the app's files."""
        named = tuple(name for name in self.by_source if name != "folder")
        return (*named, "pushed") if self.push else named

    @model_validator(mode="after")
    def _comes_from_somewhere(self) -> Self:
        if not self.sources and not self.elsewhere:
            raise conflict(
                "must not be empty without another source, such as [knowledge.NAME.web.NAME], or push = true",
                "sources",
            )
        return self
