"""`[cache]`: answers that are given again instead of being made again."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from penstock.config.knowledge import DEFAULT_EMBEDDER
from penstock.config.secret import Secret
from penstock.config.table import Table, Texts, conflict


class SemanticSettings(Table):
    """Answers a question that was asked before in other words. Exact repeats need no such table."""

    embedder: str = Field(
        DEFAULT_EMBEDDER,
        min_length=1,
        description="What turns questions into vectors: a model of the catalog, `provider/model`, or a name of "
        "`[embedders]`.",
    )
    threshold: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Least cosine of two questions that count as the same. Default: the calibrated one of "
        "`all-minilm-l6-v2`; another embedder needs its own.",
    )
    max_questions: int = Field(
        20_000,
        ge=1,
        description="Questions kept in memory for comparison, about 1 KB each; the oldest are forgotten.",
    )

    @model_validator(mode="after")
    def _calibrated(self) -> Self:
        if self.threshold is None and self.embedder != DEFAULT_EMBEDDER:
            raise conflict(
                f"is missing, and there is no calibrated one for {self.embedder!r}; benchmarks/semantic_cache.py "
                "fits one",
                "threshold",
            )
        return self


class CacheSettings(Table):
    """Answers that are given again instead of being made again."""

    enabled: bool = Field(False, description="Whether answers are cached.")
    store: Literal["memory", "sqlite", "redis", "memcached"] = Field(
        "memory",
        description="Where answers are kept: in this process, in `cache.db` of the data folder, or in a server "
        "(`pip install 'penstock[redis]'` or `'penstock[memcached]'`) that several machines share.",
    )
    url: Secret | None = Field(
        None, description="Address of that server, such as `redis://:password@host:6379/0` or `memcached://host`."
    )
    models: Texts = Field(
        ("*",), min_length=1, description="Which models and apps, as patterns of the names that clients ask for."
    )
    ttl_seconds: float = Field(86_400.0, gt=0, description="How long an answer may be given again, in seconds.")
    max_mb: float = Field(
        64.0, gt=0, description="What all answers may take, in MB; those used longest ago make room."
    )
    max_entry_kb: int = Field(1024, ge=1, description="Larger answers are not kept, in KB.")
    scope: Literal["project", "user"] = Field(
        "project",
        description="Who shares answers: everybody in a project, or only the same end user (the request's `user`, "
        "else the key). Projects never share.",
    )
    semantic: SemanticSettings | None = None

    @model_validator(mode="after")
    def _nothing_ignored(self) -> Self:
        """A setting that has no effect is a misunderstanding, so it is refused."""
        given = self.model_fields_set
        if given and "enabled" not in given:
            first = next(name for name in type(self).model_fields if name in given)
            raise conflict("has no effect while the cache is off: add enabled = true", first)
        remote = self.store in ("redis", "memcached")
        if remote and self.url is None:
            raise conflict(f'is missing: where is {self.store}? For example {{ env = "CACHE_URL" }}', "url")
        if not remote and self.url is not None:
            raise conflict(f"has no effect with store = {self.store!r}; it is for redis and memcached", "url")
        if remote and "max_mb" in given:
            raise conflict(f"has no effect on {self.store}, whose own configuration bounds its memory", "max_mb")
        return self
