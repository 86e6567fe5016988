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
