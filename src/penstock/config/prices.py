"""`[prices."PROVIDER/MODEL"]`: what a model costs, where the published prices do not say or do not hold."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Self

from pydantic import Field, model_validator

from penstock.config.table import Table, conflict

Dollars = Annotated[float, Field(ge=0, le=1_000_000)]
CLASSES = ("input", "cached_input", "cache_write", "output", "reasoning")
OTHERS = ("per_audio_hour", "per_thousand_searches")


class PriceSettings(Table):
    """What a model costs, in US dollars, by the name that `use` gives it.

    Models elsewhere have the published prices of their date; a table here replaces them. A model on a machine of
    your own has a price per token, or `per_gpu_hour`: then a call costs its share of the time in which the
    machine was busy, which calls at the same time divide equally among them.
    """

    input: Dollars | None = Field(None, description="A million tokens of input.")
    cached_input: Dollars | None = Field(
        None, description="A million tokens of input that the provider had in its cache. Default: `input`."
    )
    cache_write: Dollars | None = Field(
        None, description="A million tokens of input that the provider writes into its cache. Default: `input`."
    )
    output: Dollars | None = Field(None, description="A million tokens of output.")
    reasoning: Dollars | None = Field(
        None, description="A million tokens that the model thinks before it speaks. Default: `output`."
    )
    per_audio_hour: Dollars | None = Field(None, description="An hour of audio.")
    per_thousand_searches: Dollars | None = Field(None, description="A thousand searches of a reranker.")
    batch: float | None = Field(
        None,
        ge=0,
        le=1,
        description="What a token costs in the provider's own batches, as a share of the price: 0.5 for half.",
    )
    since: date | None = Field(
        None,
        description="The first day (UTC) on which this price holds, as `2026-01-31`; before it the published one "
        "does. Default: always.",
    )
    per_gpu_hour: Dollars | None = Field(
        None, description="An hour of one GPU, or of the machine where that has none, instead of a price per token."
    )
    gpus: int | None = Field(None, ge=1, le=100_000, description="How many of them answer together. Default: 1.")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = [key for key in (*CLASSES, *OTHERS, "batch", "since") if key in self.model_fields_set]
        if self.per_gpu_hour is not None:
            if given:
                raise conflict("cannot stand beside per_gpu_hour, which is the whole price", given[0])
            return self
        if self.gpus is not None:
            raise conflict("has no effect without per_gpu_hour", "gpus")
        if not any(getattr(self, key) is not None for key in (*CLASSES, *OTHERS)):
            raise conflict("is missing: a price names at least one of input, output and per_gpu_hour", "input")
        if self.input is None and any(getattr(self, key) is not None for key in CLASSES):
            raise conflict("is missing, and what a call costs would stay unknown", "input")
        return self
