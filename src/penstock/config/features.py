"""`[features.NAME]`: facts about the person who asks, for the prompt."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from penstock.config.addresses import http_address
from penstock.config.endpoints import EndpointSettings
from penstock.config.secret import Secret
from penstock.config.table import Table, Texts, conflict

Asker = Literal["user", "project", "key"]
"""What is known of who asks: the request's `user`, the project, and the id of the key."""

Value = str | bool | int | float
OWN: dict[str, tuple[str, ...]] = {
    "sql": ("database", "query"),
    "http": ("url", "parameters", "headers", "field"),
    "feast": ("url", "entities", "features", "headers"),
}
"""The settings that each kind of source has beside those of all."""

BOUND = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")


def check_feature_name(value: object) -> object:
    """Names stand in templates, as `features.NAME`, where a mapping's own words would come first."""
    if isinstance(value, str) and (not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", value) or hasattr(dict, value)):
        raise ValueError("must be a name of small letters, digits and underscores such as 'plan'")
    return value


FeatureName = Annotated[str, BeforeValidator(check_feature_name)]


class FeatureSettings(Table):
    """A fact about the person who asks, for prompts as `features.NAME`: what a SQL query, an HTTP lookup or a
    feature store says. One that fails or is late is its default."""

    source: Literal["sql", "http", "feast"] = Field(
        description="Where it is looked up: in a database, by an HTTP request, or in Feast's online store."
    )
    deadline_ms: int = Field(200, ge=1, le=60_000, description="How long a lookup may take, in milliseconds.")
    default: Value | dict[str, Value] | None = Field(
        None, description="What stands in place of a fact that is not known, or not in time. Default: nothing."
    )
    keep_seconds: float = Field(60.0, ge=0, description="How long a fact is kept, in seconds; 0 asks each time.")
    database: Secret | None = Field(
        None, description="For `sql`: address, `postgresql://…`, or `sqlite:///data.db` (relative to the app)."
    )
    query: str = Field(
        "",
        description="For `sql`: a SELECT of one row, with `:user`, `:project` and `:key` where those go. One "
        "column is the fact itself, several are facts by their names.",
    )
    url: str | None = Field(
        None, description="For `http`: the address to ask. For `feast`: that of its feature server."
    )
    parameters: dict[str, Asker] = Field(
        {}, description='For `http`: what the query string says, such as `{ id = "user" }`.'
    )
    field: str = Field(
        "",
        description="For `http`: the part of the JSON answer to take, such as `account.plan`. Default: all of it.",
    )
    headers: dict[str, Secret | str] = Field(
        {}, description='Headers of every request, each a text or `{ env = "NAME" }`.'
    )
    entities: dict[str, Asker] = Field(
        {}, description='For `feast`: the join keys, such as `{ customer_id = "user" }`.'
    )
    features: Texts = Field((), description="For `feast`: what to look up, such as `customer:lifetime_value`.")

    @property
    def irrelevant(self) -> tuple[str, ...]:
        """The settings that have no effect on this kind of source."""
        every = {name for names in OWN.values() for name in names}
        return tuple(sorted(every - set(OWN[self.source])))

    @field_validator("headers", mode="before")
    @classmethod
    def _headers(cls, value: object) -> object:
        return EndpointSettings._headers(value)

    @field_validator("url")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None and ("?" in value or "#" in value):
            raise ValueError("must end before its query string, which parameters make")
        if value is not None:
            http_address(value, "https://crm.example.com/people", "headers")
        return value

    @field_validator("query")
    @classmethod
    def _one_select(cls, value: str) -> str:
        value = value.strip().removesuffix(";").rstrip()
        if value and not re.match(r"(select|with)\b", value, re.IGNORECASE):
            raise ValueError("must be a SELECT")
        unknown = [name for name in BOUND.findall(value) if name not in ("user", "project", "key")]
        if unknown:
            raise ValueError(f"knows no :{unknown[0]}; there are :user, :project and :key")
        return value

    @field_validator("features")
    @classmethod
    def _viewed(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for number, each in enumerate(value):
            if not re.fullmatch(r"\w+:\w+", each):
                raise conflict(f"must be a view and a feature such as 'customer:plan', not {each!r}", number)
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for name in self.irrelevant:
            if name in self.model_fields_set:
                raise conflict(f"has no effect with source = {self.source!r}", name)
        needed: dict[str, tuple[str, ...]] = {
            "sql": ("database", "query"),
            "http": ("url", "parameters"),
            "feast": ("url", "entities", "features"),
        }
        values: dict[str, Any] = dict(self)
        for name in needed[self.source]:
            if not values[name]:
                raise conflict(f"is missing, and source = {self.source!r} needs it", name)
        return self
