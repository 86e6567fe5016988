"""`[app]`: the app itself."""

from __future__ import annotations

import re
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, field_validator

from penstock.config.table import ModelName, Table, Texts

Rewrite = Literal["follow-ups", "phrasings", "rounds"]


def all_or_none(value: object) -> object:
    """`true` and `false` for everything and nothing."""
    if isinstance(value, bool):
        return get_args(Rewrite) if value else ()
    return value


class AppSettings(Table):
    """The app itself."""

    name: str = Field(
        description="What clients pass as `model` to ask this app. Default: the name of the folder or file."
    )
    mode: Literal["auto", "quote", "constrained", "compose"] = Field(
        "auto",
        description="How to answer: `quote` gives the best sentences of the documents as they stand, `constrained` "
        "lets the model choose quotes and nothing else, `compose` lets the model write from the documents, `auto` "
        "composes with models known to keep to what they are given and quotes with the others.",
    )
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Below this probability that the passages hold an answer, the answer is that the documents do "
        "not say. Default: what `penstock knowledge calibrate` fitted on the app's own "
        "questions, else 0.17.",
    )
    rounds: int = Field(
        2,
        ge=1,
        le=5,
        description="Searches per question at most: a further one looks for what the one before did not find.",
    )
    passages: int | None = Field(
        None,
        ge=1,
        le=20,
        description="Passages that an answer is made from: those that are quoted, and those that a model reads. "
        "`penstock knowledge tune` says how many are enough. Default: quotes come from the best 5, and a model "
        "reads 4 of them.",
    )
    rewrites: Annotated[tuple[Rewrite, ...], Field(strict=False), BeforeValidator(all_or_none)] = Field(
        (),
        description="What a model words before documents are searched: `follow-ups` as questions that stand alone, "
        "`phrasings` of the question that are searched with it, `rounds`, the searches after the first. `true` is "
        "all of them. What it does not word is made of the words of the question, of the conversation and of the "
        "names that were found.",
    )
    rewrite_model: ModelName = Field(
        "default", description="The name in `[models]` of the model that does so; a small one is quick."
    )
    rewrite_seconds: float = Field(
        3.0,
        gt=0,
        le=60,
        description="How long a search waits for a model's words at most; then it goes on without them.",
    )
    data: str | None = Field(
        None,
        min_length=1,
        description="Where the app keeps its databases, relative to the app folder. Default: `.penstock`, or a "
        "folder of the user where the app folder cannot be written or the app is a single file.",
    )

    projects: Texts = Field(
        (),
        description="Projects beside `local` whose keys may ask this app and read its documents; `*` stands for "
        "any letters.",
    )

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if not re.fullmatch(r"\w[\w.-]{0,63}", name):
            raise ValueError("must be at most 64 letters, digits, dots, dashes and underscores")
        return name
