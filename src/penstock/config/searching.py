"""How `[knowledge.NAME]` is searched."""

from __future__ import annotations

from pydantic import Field

from penstock.config.table import Table


class SearchingSettings(Table):
    """What holds for all searches that do not say otherwise."""

    vector_weight: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of the meaning in the score of a passage; the rest is its words. 1 is vectors alone, 0 "
        "words alone.",
    )
    reranker: str | None = Field(
        None,
        min_length=1,
        description="What reads the thirty best passages beside the question and orders them anew: a name of "
        "`[rerankers]`, or `provider/model`. Default: none.",
    )
