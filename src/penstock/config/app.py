"""`[app]`: the app itself."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from penstock.config.table import Table, Texts


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
    rewrites: bool = Field(
        False,
        description="Whether `models.default` words the searches after the first. Without it they are made of the "
        "question and of the names that were found.",
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
