"""`[prices."PROVIDER/MODEL"]`: what a model costs, where the published prices do not say or do not hold."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from difflib import get_close_matches
from typing import Annotated, Self

from pydantic import Field, model_validator

from penstock.config.models import ModelSettings
from penstock.config.table import Table, conflict

ModelUse = Annotated[str, Field(min_length=1, max_length=200)]
"""What `use` says of a model."""
MOST_DOLLARS = 1_000_000
CLASSES = ("input", "cached_input", "cache_write", "output", "reasoning")
OTHERS = ("per_audio_hour", "per_thousand_searches")


class PriceSettings(Table):
    """What a model costs, in US dollars, by the name that `use` gives it.

    Models elsewhere have the published prices of their date; a table here replaces them. A model on a machine of
    your own has a price per token, or `per_gpu_hour`: then a call costs its share of the time in which the
    machine was busy, which calls at the same time divide equally among them.
    """

    input: float | None = Field(None, ge=0, le=MOST_DOLLARS, description="A million tokens of input.")
    cached_input: float | None = Field(
        None,
        ge=0,
        le=MOST_DOLLARS,
        description="A million tokens of input that the provider had in its cache. Default: `input`.",
    )
    cache_write: float | None = Field(
        None,
        ge=0,
        le=MOST_DOLLARS,
        description="A million tokens of input that the provider writes into its cache. Default: `input`.",
    )
    output: float | None = Field(None, ge=0, le=MOST_DOLLARS, description="A million tokens of output.")
    reasoning: float | None = Field(
        None,
        ge=0,
        le=MOST_DOLLARS,
        description="A million tokens that the model thinks before it speaks. Default: `output`.",
    )
    per_audio_hour: float | None = Field(
        None, ge=0, le=MOST_DOLLARS, description="An hour of audio, spoken or heard."
    )
    per_thousand_searches: float | None = Field(
        None, ge=0, le=MOST_DOLLARS, description="A thousand searches of a reranker."
    )
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
    per_gpu_hour: float | None = Field(
        None,
        ge=0,
        le=MOST_DOLLARS,
        description="An hour of one GPU, or of the machine where that has none, instead of a price per token.",
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


def check_prices(prices: Mapping[str, PriceSettings], models: Mapping[str, ModelSettings]) -> None:
    """A price of a model that is not configured is a misspelt one. Raises what `conflict` makes."""
    used = {target.use for model in models.values() for target in model.backends}
    used |= {place for model in models.values() for _, place in model.leads_to}
    for name in prices:
        if name not in used:
            near = get_close_matches(name, used, 1, cutoff=0.5)
            guess = f"; did you mean {near[0]!r}?" if near else ""
            raise conflict(f"is a price, and no model uses {name!r}{guess}", "prices", name)
