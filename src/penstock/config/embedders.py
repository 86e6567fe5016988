"""`[embedders.NAME]`: what turns text into vectors, where a name alone does not say enough."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from penstock.config.endpoints import ENDPOINT, EndpointSettings, is_remote
from penstock.config.table import Table, conflict

FILES_ONLY = ("file", "max_tokens", "precision")


class ReaderSettings(Table):
    """A model that reads texts: by its files on this machine, or over the network."""

    use: str = Field(
        "",
        description="A model of the catalog or its address (`hf:…`), run on this machine, or `provider/model`, "
        "reached over the network.",
    )
    path: str = Field(
        "",
        description="In place of `use`: a folder with the model's files, relative to the app folder: OpenVINO IR "
        "(`openvino_model.xml`), ONNX (`model.onnx`) or a BERT's `model.safetensors`, with `tokenizer.json`.",
    )
    file: str = Field("", description="The file with the weights in that folder, where there are several.")
    max_tokens: int | None = Field(
        None, ge=8, description="Tokens that longer texts are cut to. Default: what the model's files say."
    )

    @property
    def remote(self) -> bool:
        return is_remote(self.use)

    @property
    def pulled(self) -> str:
        """What is fetched before it can run; "" for what is elsewhere, or here already."""
        return "" if self.remote else self.use


def one_place(settings: ReaderSettings, files_only: tuple[str, ...], remote_only: tuple[str, ...]) -> None:
    """Refuses settings that have no effect on this kind of model, and a model that is nowhere or twice."""
    if not settings.use and not settings.path:
        raise conflict("is missing; a folder with a model's files is path = '…'", "use")
    if settings.use and settings.path:
        raise conflict("has no effect beside use", "path")
    wrong = [key for key in (files_only if settings.remote else remote_only) if key in settings.model_fields_set]
    if wrong:
        place = "elsewhere" if settings.remote else "on this machine"
        raise conflict(f"has no effect on {settings.use or settings.path!r}, which runs {place}", wrong[0])


class BatchSettings(Table):
    """How much travels at once to a model elsewhere."""

    batch_texts: int | None = Field(
        None, ge=1, description="Texts of one request. Default: what the provider is known to take, else 32."
    )
    batch_tokens: int | None = Field(
        None, ge=100, description="Tokens of one request, reckoned. Default: what the provider is known to take."
    )
    max_in_flight: int = Field(4, ge=1, description="Requests under way for bulk work; a question never waits.")
    request_seconds: float = Field(60.0, gt=0, description="Longest time that one request may take, in seconds.")


class EmbedderSettings(BatchSettings, EndpointSettings, ReaderSettings):
    """What turns text into vectors, by the name that `[knowledge]` and `[cache.semantic]` call it. A model of the
    catalog, or `provider/model`, needs no such table."""

    precision: Literal["f32", "bf16", "int8", "int8-bf16"] | None = Field(
        None,
        description="How numbers are multiplied. With `int8` that is done for passages, by weights of eight bits, "
        "and questions are computed in `f32`; with `int8-bf16` in `bf16`. Default: what the processor does fast in "
        "hardware, `int8` only for MiniLM, whose vectors it is known to leave as they are (cosine 0.9993).",
    )

    pooling: Literal["mean", "cls", "last"] | None = Field(
        None,
        description="How the vectors of a text's tokens become one, for a folder that does not say so "
        "(`1_Pooling/config.json`).",
    )
    query_prefix: str | None = Field(
        None, description='What stands before every question, such as `"query: "`. Default: what the files say.'
    )
    passage_prefix: str | None = Field(
        None, description='What stands before every passage, such as `"passage: "`. Default: what the files say.'
    )
    dimensions: int | None = Field(
        None, ge=1, description="Length of the vectors, for providers that make shorter ones on demand."
    )

    @property
    def irrelevant(self) -> tuple[str, ...]:
        """The settings that have no effect on this kind of embedder."""
        elsewhere = (*ENDPOINT, *BatchSettings.model_fields, "dimensions")
        return (*FILES_ONLY, "pooling") if self.remote else elsewhere

    @model_validator(mode="after")
    def _nothing_ignored(self) -> Self:
        one_place(self, (*FILES_ONLY, "pooling"), (*ENDPOINT, *BatchSettings.model_fields, "dimensions"))
        return self
