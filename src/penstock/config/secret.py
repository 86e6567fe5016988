"""A value that cannot be printed."""

from __future__ import annotations

import os
from typing import Any, NoReturn

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from penstock.errors import ConfigError

MASK = "********"


class Secret:
    """A password or key: shown, formatted and serialised as asterisks; `reveal()` gives it.

    In `penstock.toml` it is `{ env = "NAME" }`, and the variable is read when the secret is revealed, so that a
    command that does not need it runs without it.
    """

    __slots__ = ("_value", "env")

    def __init__(self, value: str) -> None:
        self._value = value
        self.env: str | None = None

    @classmethod
    def from_env(cls, name: str) -> Secret:
        """A secret that is in the environment variable `name`."""
        secret = cls("")
        secret.env = name
        return secret

    def reveal(self) -> str:
        """The value. Raises `ConfigError` where its environment variable is not set, or empty."""
        if self.env is None:
            return self._value
        value = os.environ.get(self.env, "").strip()
        if not value:
            raise ConfigError(
                f"The environment variable {self.env} is not set, and the app's configuration needs it.",
                hint=f"Set it in the shell that starts Penstock: export {self.env}=…",
            )
        return value

    def __repr__(self) -> str:
        return f"Secret(env={self.env!r})" if self.env else f"Secret({MASK!r})"

    def __str__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (self.env, self._value) == (other.env, other._value)

    def __hash__(self) -> int:
        return hash((self.env, self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda secret: {"env": secret.env} if secret.env else MASK
            ),
        )

    @classmethod
    def _validate(cls, value: object) -> Secret:
        if isinstance(value, Secret):
            return value
        if isinstance(value, dict) and set(value) == {"env"} and isinstance(value["env"], str) and value["env"]:
            return cls.from_env(value["env"])
        if isinstance(value, str):
            raise ValueError(
                'must not be written into the file: put it in an environment variable and write { env = "NAME" }'
                " here. If this file was ever shared, replace the key"
            )
        raise ValueError('must be { env = "NAME" }, the environment variable that holds it')
