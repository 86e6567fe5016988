"""`[models.NAME]`: what answers, by the name that clients call it."""

from __future__ import annotations

import re
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from penstock.config.secret import Secret
from penstock.config.table import Table, conflict

DEFAULT_MODEL = "smollm2-135m-instruct"

LOCAL_ONLY = ("engine", "context", "cache_tokens", "max_running", "max_waiting")
REMOTE_ONLY = ("base_url", "api_key")
REMOTE_MODEL = re.compile(r"[A-Za-z0-9_.-]+/\S+")


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
