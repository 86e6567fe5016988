"""Every setting of `penstock.toml`, with its type, default and meaning.

`docs/configuration.md` is made from the descriptions here, and a test holds the two together.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from penstock.config.secret import Secret

DEFAULT_MODEL = "smollm2-135m-instruct"
DEFAULT_EMBEDDER = "all-minilm-l6-v2"

LOCAL_ONLY = ("engine", "context", "cache_tokens", "max_running", "max_waiting")
REMOTE_ONLY = ("base_url", "api_key")
REMOTE_MODEL = re.compile(r"[A-Za-z0-9_.-]+/\S+")


def check_name(value: object) -> object:
    """Names stand in file names, addresses and requests, so they stay plain."""
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", value):
        raise ValueError("must be a name of at most 64 letters, digits, dashes and underscores")
    return value


def conflict(reason: str, *path: str) -> PydanticCustomError:
    """An error about a key inside the value that is validated."""
    return PydanticCustomError("conflict", "{reason}", {"reason": reason, "path": path})


Name = Annotated[str, BeforeValidator(check_name)]
Patterns = Annotated[tuple[str, ...], Field(strict=False)]


class Table(BaseModel):
    """One table of the file: nothing is converted, and nothing unknown is accepted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class AppSettings(Table):
    """The app itself."""

    name: str = Field(
        description="What clients pass as `model` to ask this app. Default: the name of the folder or file."
    )
    mode: Literal["auto", "quote", "compose"] = Field(
        "auto",
        description="How to answer: `quote` gives the best sentences of the documents as they stand, `compose` "
        "lets the model write from them, `auto` composes with models known to keep to what they are given and "
        "quotes with the others.",
    )
    data: str | None = Field(
        None,
        min_length=1,
        description="Where the app keeps its databases, relative to the app folder. Default: `.penstock`, or a "
        "folder of the user where the app folder cannot be written or the app is a single file.",
    )

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if not re.fullmatch(r"\w[\w.-]{0,63}", name):
            raise ValueError("must be at most 64 letters, digits, dots, dashes and underscores")
        return name


class ModelSettings(Table):
    """A model, by the name that the app and its clients call it. `models.default` answers where none is named."""

    use: str = Field(
        min_length=1,
        description="A model of the catalog, run on this machine, or `provider/model`, reached over the network.",
    )
    engine: Literal["openvino", "llamacpp"] = Field(
        "openvino", description="What runs a local model. `llamacpp` needs `pip install 'penstock[llamacpp]'`."
    )
    context: int | None = Field(
        None, ge=256, description="Longest prompt and answer together, in tokens. Default: the model's own limit."
    )
    cache_tokens: int = Field(
        65_536,
        ge=1024,
        description="Tokens that a local model keeps in memory for all requests in flight together; memory is "
        "taken as it is used.",
    )
    max_running: int = Field(64, ge=1, description="Requests that a local model answers at the same time.")
    max_waiting: int = Field(
        256, ge=0, description="Requests that wait for a local model; the next ones are refused with status 429."
    )
    base_url: str | None = Field(
        None,
        description="Address of an OpenAI-compatible API, up to and with its `/v1`. Default: the provider's own.",
    )
    api_key: Secret | None = Field(
        None,
        description='Key for that API, always as `{ env = "NAME" }`. Default: the provider\'s usual variable.',
    )

    @property
    def irrelevant(self) -> tuple[str, ...]:
        """The settings that have no effect on this kind of model."""
        return LOCAL_ONLY if self.remote else REMOTE_ONLY

    @property
    def remote(self) -> bool:
        """Whether `use` is `provider/model`; `hf:…` and `file:…` are sources of local models."""
        return REMOTE_MODEL.fullmatch(self.use) is not None

    @property
    def provider(self) -> str:
        """The provider of a remote model; "" for a local one."""
        return self.use.partition("/")[0] if self.remote else ""

    @property
    def model(self) -> str:
        """The model's own name, without the provider."""
        return self.use.partition("/")[2] if self.remote else self.use

    @field_validator("base_url")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("must be an address such as 'https://api.example.com/v1'")
            if parts.username or parts.password:
                raise ValueError("must not hold a password; use api_key")
        return value

    @model_validator(mode="after")
    def _nothing_ignored(self) -> Self:
        """A setting that has no effect on this kind of model is a misunderstanding, so it is refused."""
        wrong = [key for key in self.irrelevant if key in self.model_fields_set]
        if wrong:
            place = "elsewhere" if self.remote else "on this machine"
            advice = "" if self.remote else "; a model elsewhere is use = 'provider/model'"
            raise conflict(f"has no effect on {self.use!r}, which runs {place}{advice}", wrong[0])
        return self


class KnowledgeSettings(Table):
    """Documents that the app answers from, by name."""

    sources: Patterns = Field(
        min_length=1,
        description="Files, as patterns relative to the app folder; `**` is any depth. Default: `docs/**/*` in an "
        "app folder with `docs/`, else every file. Penstock's own files (`penstock.toml`, `prompts/`, `evals/`, "
        "`flows.py`, `.penstock/`) are never documents.",
    )
    exclude: Patterns = Field((), description="Files to leave out, as patterns like those of `sources`.")
    embedder: str = Field(
        DEFAULT_EMBEDDER, min_length=1, description="Model of the catalog that turns text into vectors."
    )
    chunk_tokens: int = Field(
        200,
        ge=32,
        le=2048,
        description="Longest passage, in tokens of the embedder. Changing it re-reads all files.",
    )
    max_file_mb: float = Field(50.0, gt=0, description="Files larger than this many MB are reported and left out.")
    parse_seconds: float = Field(
        60.0, gt=0, description="Longest time to extract the text of one file, in seconds."
    )
    parse_memory_mb: int = Field(
        1024, ge=128, description="Memory that extracting one file's text may take, in MB."
    )

    @field_validator("sources", "exclude")
    @classmethod
    def _inside(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            if not pattern.strip() or pattern.startswith(("/", "~")) or ".." in pattern.split("/"):
                raise ValueError(f"{pattern!r} must be a pattern inside the app folder, such as 'docs/**/*'")
        return patterns


class ServerSettings(Table):
    """The HTTP server."""

    host: str = Field(
        "127.0.0.1", description="Address to listen on: loopback only, because there are no keys yet."
    )
    port: int = Field(7100, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    max_body_mb: float = Field(20.0, gt=0, description="Largest request body, in MB; larger ones get status 413.")
    max_in_flight: int = Field(256, ge=1, description="Requests in progress; the next ones get status 429.")
    request_seconds: float = Field(300.0, gt=0, description="Longest time for one request, in seconds.")
    drain_seconds: float = Field(
        20.0, ge=0, description="Time that requests in progress have to finish when the server stops, in seconds."
    )

    @field_validator("host")
    @classmethod
    def _loopback(cls, host: str) -> str:
        try:
            loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise ValueError(
                f"must be a loopback address, not {host!r}: there are no keys in local mode, so others could read "
                "the documents. Use '127.0.0.1', and a reverse proxy with a login in front of it"
            )
        return host


class TraceSettings(Table):
    """The record of every request."""

    content: bool = Field(
        True, description="Whether traces keep what was asked, sent to the model and answered, or only the figures."
    )
    keep_days: int = Field(30, ge=1, description="Traces older than this many days are deleted.")


def taken_names(models: Mapping[str, object], knowledge: Mapping[str, object]) -> set[str]:
    """What clients may pass as `model` beside the app: models by both their names, and embedders.

    Takes tables before and after validation, so that an inferred name can avoid them.
    """
    names = set(models)
    for table, key in [
        *((each, "use") for each in models.values()),
        *((each, "embedder") for each in knowledge.values()),
    ]:
        value = table.get(key, DEFAULT_EMBEDDER) if isinstance(table, dict) else getattr(table, key, "")
        names.add(str(value))
    return names


class Settings(Table):
    """Everything that `penstock.toml` says, defaults filled in."""

    app: AppSettings
    models: dict[Name, ModelSettings]
    knowledge: dict[Name, KnowledgeSettings]
    server: ServerSettings = ServerSettings()
    traces: TraceSettings = TraceSettings()

    @model_validator(mode="after")
    def _one_name_each(self) -> Self:
        if self.app.name in taken_names(self.models, self.knowledge):
            raise conflict(
                f"must not be {self.app.name!r}: a model has that name, and clients could not tell the two apart",
                "app",
                "name",
            )
        if len(self.knowledge) > 1:
            first, second, *_ = self.knowledge
            raise conflict(
                f"is a second knowledge, and an app answers from one: add its sources to [knowledge.{first}]",
                "knowledge",
                second,
            )
        return self
