"""How a model elsewhere is reached: the settings that models, embedders and rerankers have in common."""

from __future__ import annotations

import re
from typing import Self

from pydantic import Field, field_validator, model_validator

from penstock.config.addresses import http_address
from penstock.config.secret import Secret
from penstock.config.table import Table, conflict

ENDPOINT = ("base_url", "api_key", "token", "deployment", "api_version", "region", "headers")
"""The settings of an endpoint, which have no effect on what runs on this machine."""

Headers = dict[str, Secret | str]

HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
OWN_HEADERS = frozenset(
    {"accept-encoding", "connection", "content-length", "content-type", "host", "transfer-encoding"}
)
"""Headers that say how a request is sent, which is not the configuration's to change."""

SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "api-key", "x-api-key", "x-goog-api-key"})

REMOTE_MODEL = re.compile(r"[A-Za-z0-9_.-]+/\S+")


class EndpointSettings(Table):
    """Where a remote model is, and who asks."""

    base_url: str | None = Field(
        None,
        description="Address of the provider's API, for OpenAI-compatible ones up to and with their `/v1`. "
        "Default: the provider's own.",
    )
    api_key: Secret | None = Field(
        None,
        description='Key for that API, always as `{ env = "NAME" }`. Default: the provider\'s usual variable.',
    )
    token: Secret | None = Field(
        None, description="Access token, sent as `Authorization: Bearer` in place of a key (Azure's Entra ID)."
    )
    deployment: str = Field(
        "", description="What the provider calls the model, where that is not its name (Azure's deployments)."
    )
    api_version: str = Field("", description="Version of Azure's API by deployment. Default: its `/openai/v1`.")
    region: str = Field("", description="Region of Amazon Bedrock. Default: that of `AWS_REGION`.")
    headers: Headers = Field(
        {}, description='Headers of every request, each a text or `{ env = "NAME" }`, such as an organisation.'
    )

    @field_validator("base_url")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None:
            http_address(value, "https://api.example.com/v1", "api_key")
        return value

    @field_validator("headers", mode="before")
    @classmethod
    def _headers(cls, value: object) -> object:
        for name, text in value.items() if isinstance(value, dict) else ():
            if not HEADER.fullmatch(name) or name.lower() in OWN_HEADERS:
                raise conflict("is not a header that can be set", name)
            if not isinstance(text, (str, Secret)) and not (isinstance(text, dict) and set(text) == {"env"}):
                raise conflict('must be text, or { env = "NAME" }', name)
            if isinstance(text, str) and name.lower() in SECRET_HEADERS:
                raise conflict('must not be written into the file: write { env = "NAME" }', name)
            if isinstance(text, str) and not text.isprintable():
                raise conflict("must be one line of text", name)
        return value

    @model_validator(mode="after")
    def _one_proof(self) -> Self:
        if self.token is not None and self.api_key is not None:
            raise conflict("has no effect beside a token", "api_key")
        return self


def is_remote(use: str) -> bool:
    """Whether a name is `provider/model`."""
    return REMOTE_MODEL.fullmatch(use) is not None
