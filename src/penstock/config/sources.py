"""`[knowledge.NAME.web.NAME]` and its like: where documents come from beside the app's own files."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from penstock.config.addresses import http_address
from penstock.config.secret import Secret
from penstock.config.table import Table, Texts, conflict

READER = re.compile(r"(project|key|role|group):\S.*")
FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
MetadataValue = str | bool | int | float | Texts

GIT_ADDRESS = re.compile(
    r"https?://[A-Za-z0-9\[][^\s@]*"
    r"|ssh://([A-Za-z0-9._-]+@)?[A-Za-z0-9\[]\S*"
    r"|([A-Za-z0-9._]+@)?[A-Za-z0-9][A-Za-z0-9.-]*:(?!//)[^\s:-]\S*"
)
BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}")


class SourceSettings(Table):
    """What every source of documents has."""

    metadata: dict[str, MetadataValue] = Field(
        {}, description='What each of its documents is marked with, for filters: `{ team = "hr", year = 2026 }`.'
    )
    readers: Texts = Field(
        (),
        description="Who may find its documents: `group:…`, `project:…`, `role:…` or `key:…`. Default: everybody "
        "who may read the knowledge.",
    )
    schedule: str = Field(
        "",
        description='When a running server takes in what changed, as cron says it: `"0 * * * *"` is every hour.',
    )
    timezone: str = Field("UTC", description='Whose clock `schedule` follows, such as `"Europe/Berlin"`.')
    max_delete: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Share of its documents that one run may delete. More is taken for a fault of the source, "
        "unless the run is told `--allow-delete`; five may always go.",
    )

    @field_validator("metadata")
    @classmethod
    def _named(cls, value: dict[str, MetadataValue]) -> dict[str, MetadataValue]:
        for name in value:
            if not FIELD.fullmatch(name):
                raise conflict("must be a name of letters, digits, dashes and underscores", name)
        return value

    @field_validator("readers")
    @classmethod
    def _tagged(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for number, reader in enumerate(value):
            if not READER.fullmatch(reader):
                raise conflict(f"must be such as 'group:hr' or 'project:acme', not {reader!r}", number)
        return value

    @model_validator(mode="after")
    def _due(self) -> Self:
        try:
            zone = ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError):
            raise conflict(
                f"must be a time zone such as 'Europe/Berlin', not {self.timezone!r}", "timezone"
            ) from None
        if self.schedule:
            from cronsim import CronSim, CronSimError

            try:
                next(CronSim(self.schedule, datetime.now(UTC).astimezone(zone)))
            except (CronSimError, StopIteration) as error:
                reason = str(error).lower() or "there is no such day"
                raise conflict(
                    f"must be five fields of cron such as '0 * * * *', not {self.schedule!r} ({reason})", "schedule"
                ) from None
        return self


class WebSettings(SourceSettings):
    """Web pages: those named, those of sitemaps, and those that they link to."""

    urls: Texts = Field((), description="Pages to take, and to follow links from.")
    sitemaps: Texts = Field((), description="Sitemaps, or indexes of them, also compressed.")
    hosts: Texts = Field(
        (), description="Other hosts that pages may lie on. Default: only those of `urls` and `sitemaps`."
    )
    include: Texts = Field(("**/*",), description="Paths to take, as patterns like those of `sources`.")
    exclude: Texts = Field((), description="Paths to leave out, as patterns.")
    depth: int = Field(0, ge=0, le=20, description="How many links away from `urls` and sitemaps pages may be.")
    max_pages: int = Field(1000, ge=1, description="More pages than this are left out, and the run says so.")
    rate: float = Field(2.0, gt=0, le=1000, description="Requests a second at most.")
    respect_robots: bool = Field(True, description="Whether `robots.txt` and robots marks of pages are followed.")
    user_agent: str = Field("Penstock", min_length=1, description="What requests call themselves.")
    allow_private: bool = Field(
        False,
        description="Whether hosts may have addresses of a private network or of this machine. A literal address "
        "in `urls` or `sitemaps`, or `localhost`, may be one without.",
    )

    @field_validator("urls", "sitemaps")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for number, url in enumerate(value):
            try:
                http_address(url, "https://docs.example.com/")
            except ValueError as error:
                raise conflict(f"{error}, not {url!r}", number) from None
        return value

    @field_validator("hosts")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for number, host in enumerate(value):
            if not re.fullmatch(r"[A-Za-z0-9_.-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?", host):
                raise conflict(f"must be a host such as 'docs.example.com', not {host!r}", number)
        return value

    @field_validator("user_agent")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if not value.isascii() or not value.isprintable():
            raise ValueError("must be one line of ASCII text")
        return value

    @model_validator(mode="after")
    def _begins(self) -> Self:
        if not self.urls and not self.sitemaps:
            raise conflict("must name a page where there is no sitemap", "urls")
        return self


class S3Settings(SourceSettings):
    """Objects of a bucket, at Amazon or whoever speaks its protocol (MinIO, Ceph, R2, …)."""

    bucket: str = Field(description="What the bucket is called.")
    prefix: str = Field("", description="What the keys of its documents begin with, such as `reports/`.")
    include: Texts = Field(("**/*",), description="Keys to take, as patterns like those of `sources`.")
    exclude: Texts = Field((), description="Keys to leave out, as patterns.")
    endpoint: str | None = Field(None, description="Address of the service. Default: Amazon's, in the region.")
    region: str = Field("us-east-1", min_length=1, description="Region of the bucket.")
    access_key: Secret | None = Field(None, description="Id of the key. Default: the bucket is read without one.")
    secret_key: Secret | None = Field(None, description="The secret half of the key.")
    session_token: Secret | None = Field(None, description="Token of temporary credentials.")
    link: str = Field("", description="Where people open a document: an address with `{key}` in it.")

    @field_validator("bucket")
    @classmethod
    def _bucket(cls, value: str) -> str:
        if not BUCKET.fullmatch(value):
            raise ValueError(f"must be the name of a bucket, not {value!r}")
        return value

    @field_validator("endpoint")
    @classmethod
    def _endpoint(cls, value: str | None) -> str | None:
        if value is not None:
            http_address(value, "https://s3.example.com", "access_key and secret_key")
        return value

    @field_validator("link")
    @classmethod
    def _link(cls, value: str) -> str:
        return checked_link(value)

    @model_validator(mode="after")
    def _both_keys(self) -> Self:
        if (self.access_key is None) != (self.secret_key is None):
            raise conflict("is needed with the other", "secret_key" if self.access_key else "access_key")
        return self


class GitSettings(SourceSettings):
    """Files of a Git repository, at the newest commit of a branch."""

    url: str | None = Field(None, description="Address to clone from: `https://…`, `ssh://…` or `git@host:path`.")
    path: str | None = Field(None, description="A repository on this machine instead, relative to the app folder.")
    branch: str = Field("", description="Branch or tag. Default: that which the repository calls its own.")
    include: Texts = Field(("**/*",), description="Files to take, as patterns like those of `sources`.")
    exclude: Texts = Field((), description="Files to leave out, as patterns.")
    username: str = Field(
        "git", min_length=1, description="Who `token` belongs to, where the server asks for that."
    )
    token: Secret | None = Field(None, description="Access token for `https` addresses.")
    link: str = Field("", description="Where people open a document: an address with `{key}` in it.")

    @field_validator("url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        if value is not None and not GIT_ADDRESS.fullmatch(value):
            raise ValueError(
                "must be an address such as 'https://example.com/team/handbook.git' or "
                "'git@example.com:team/handbook.git', without a password; use token"
            )
        return value

    @field_validator("branch")
    @classmethod
    def _branch(cls, value: str) -> str:
        if value and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_./+-]*", value):
            raise ValueError(f"must be the name of a branch or tag, not {value!r}")
        return value

    @field_validator("link")
    @classmethod
    def _link(cls, value: str) -> str:
        return checked_link(value)

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.url is None) == (self.path is None):
            raise conflict("is needed, or path: one of the two", "url")
        if self.token is not None and not (self.url or "").startswith("https://"):
            raise conflict("is only for a url of https", "token")
        return self


class SqlSettings(SourceSettings):
    """Rows of a query, each a document."""

    database: Secret = Field(
        description="Address of the database: `postgresql://…`, or `sqlite:///data.db` (relative to the app)."
    )
    query: str = Field(min_length=1, description="A SELECT; its columns are named by the settings below.")
    key: str = Field(min_length=1, description="Column that tells documents apart.")
    text: str = Field(min_length=1, description="Column with the text of the document.")
    format: Literal["text", "markdown", "html"] = Field("text", description="How the text is written.")
    title: str = Field("", description="Column with its title. Default: the text's own.")
    link: str = Field("", description="Column with the address where people open it.")
    updated: str = Field(
        "",
        description="Column that grows with every change of a row, such as a time or a version: texts of other "
        "rows are not read again.",
    )
    metadata_columns: Texts = Field((), description="Columns that documents are marked with.")
    readers_column: str = Field(
        "",
        description="Column with who may find a document, separated by commas; where it is empty, nobody may. "
        "Default: `readers`.",
    )

    @field_validator("query")
    @classmethod
    def _one_select(cls, value: str) -> str:
        value = value.strip().removesuffix(";").rstrip()
        if not re.match(r"(select|with)\b", value, re.IGNORECASE):
            raise ValueError("must be a SELECT")
        return value


def checked_link(value: str) -> str:
    """An address with `{key}` in it, or "". Raises `ValueError`."""
    if value:
        http_address(value, "https://example.com/files/{key}")
        if "{key}" not in value or value.count("{") != 1:
            raise ValueError("must have {key} where the document's key goes")
    return value
