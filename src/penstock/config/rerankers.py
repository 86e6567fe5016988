"""`[rerankers.NAME]`: what reads a question and a passage together, to order passages better than vectors do."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from penstock.config.embedders import FILES_ONLY, ReaderSettings, one_place
from penstock.config.endpoints import ENDPOINT, EndpointSettings


class RerankerSettings(EndpointSettings, ReaderSettings):
    """What orders passages by reading each beside the question, by name: a cross-encoder by its files, or any API
    with `/v1/rerank`. `provider/model` needs no such table."""

    precision: Literal["f32", "bf16"] | None = Field(
        None, description="How numbers are multiplied. Default: `bf16` where the processor does so in hardware."
    )
    request_seconds: float = Field(20.0, gt=0, description="Longest time that one request may take, in seconds.")

    @property
    def irrelevant(self) -> tuple[str, ...]:
        """The settings that have no effect on this kind of reranker."""
        return FILES_ONLY if self.remote else (*ENDPOINT, "request_seconds")

    @model_validator(mode="after")
    def _nothing_ignored(self) -> Self:
        one_place(self, FILES_ONLY, (*ENDPOINT, "request_seconds"))
        return self
