"""What every table of `penstock.toml` has in common."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError


def check_name(value: object) -> object:
    """Names stand in file names, addresses and requests, so they stay plain."""
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", value):
        raise ValueError("must be a name of at most 64 letters, digits, dashes and underscores")
    return value


def check_model_name(value: object) -> object:
    """What clients may send as `model`: many are used to names such as `gpt-4.1` and `openai/gpt-4o`."""
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.:/@+-]{0,127}", value):
        raise ValueError("must be a name of at most 128 letters, digits and _ . : / @ + -")
    return value


def conflict(reason: str, *path: str | int) -> PydanticCustomError:
    """An error about a key inside the value that is validated."""
    return PydanticCustomError("conflict", "{reason}", {"reason": reason, "path": path})


Name = Annotated[str, BeforeValidator(check_name)]
ModelName = Annotated[str, BeforeValidator(check_model_name)]
Texts = Annotated[tuple[str, ...], Field(strict=False)]
"""A list of text."""


class Table(BaseModel):
    """One table of the file: nothing is converted, and nothing unknown is accepted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
