"""How a model's requests find a target: the settings of a route, and what they say about other models."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from penstock.config.table import Table, Texts, conflict
from penstock.errors import FailureKind

Strategy = Literal["weighted", "least_in_flight", "latency", "cost", "prefix"]

FALLBACK_ON: tuple[FailureKind, ...] = (
    "rate_limit",
    "overloaded",
    "timeout",
    "connection",
    "server_error",
    "auth",
    "broken_stream",
)
RULES_ONLY = ("max_characters", "code", "maths")


class DifficultySettings(Table):
    """Sends easy requests to another, smaller model. Whatever is not easy, or fails there, is answered here."""

    easy: str = Field(
        min_length=1, description="What answers easy requests: another model's name, or `provider/model`."
    )
    by: Literal["rules", "classifier"] = Field(
        "rules",
        description="How to tell: by the rules below, or by a small classifier that estimates from the text "
        "whether a small model answers right.",
    )
    threshold: float = Field(
        0.8,
        gt=0,
        lt=1,
        description="For the classifier: the least probability of a right answer at which a request is easy.",
    )
    max_characters: int = Field(
        600, ge=1, description="For the rules: the longest text of all messages together that counts as easy."
    )
    code: bool = Field(False, description="For the rules: whether text with signs of code may be easy.")
    maths: bool = Field(False, description="For the rules: whether text with signs of maths may be easy.")
    max_turns: int = Field(3, ge=1, description="Most messages of the user in a request that counts as easy.")
    tools: bool = Field(False, description="Whether a request with tools may be easy.")

    @property
    def irrelevant(self) -> tuple[str, ...]:
        """The settings that have no effect on this way of telling."""
        return RULES_ONLY if self.by == "classifier" else ("threshold",)

    @model_validator(mode="after")
    def _nothing_ignored(self) -> Self:
        for key in self.irrelevant:
            if key in self.model_fields_set:
                raise conflict(f"has no effect where difficulty is told by {self.by}", key)
        return self


class RouteSettings(Table):
    """How requests are spread over the targets of a model, and what happens when one fails."""

    strategy: Strategy = Field(
        "weighted",
        description="Which target is asked: at random by `weight`; the one with the fewest requests in flight; "
        "the quicker of two taken at random; the cheapest; or, for caches of prompts, the same one for the same "
        "opening of a conversation.",
    )
    retries: int = Field(
        2,
        ge=0,
        le=10,
        description="Further attempts after one that failed for a passing reason. Those at targets that fail stay "
        "within a tenth of all requests of the process together.",
    )
    fallback: Texts = Field(
        (),
        description="What is asked, in this order, when no target here answers: names of other models, or "
        "`provider/model`.",
    )
    fallback_on: Annotated[tuple[FailureKind, ...], Field(strict=False)] = Field(
        FALLBACK_ON, min_length=1, description="The kinds of failure after which the next of `fallback` is asked."
    )
    longer: str | None = Field(
        None,
        min_length=1,
        description="What is asked when a request is longer than the context here: another model's name, or "
        "`provider/model`.",
    )
    hedge_after: float | None = Field(
        None,
        gt=0,
        description="Seconds without a first token after which a second target is asked, too; the first to answer "
        "wins, and the other is cancelled. Costs up to a tenth more. Default: never.",
    )
    eject_after: int = Field(
        5,
        ge=1,
        description="Failures in a row after which a target gets no requests for a while. So does one of whose "
        "last requests more than half have failed.",
    )
    eject_seconds: float = Field(
        30.0,
        gt=0,
        description="How long that is, in seconds; then one request probes the target. Doubles with each probe "
        "that fails, up to eight times.",
    )
    max_wait_seconds: float = Field(
        0.0,
        ge=0,
        description="How long a request waits, in seconds, where all targets are at their `max_in_flight` and no "
        "`fallback` can answer; then it is refused with status 429.",
    )
    connect_seconds: float | None = Field(
        None, gt=0, description="Longest time for a connection to a model elsewhere, in seconds. Default: 10."
    )
    first_token_seconds: float | None = Field(
        None,
        gt=0,
        description="Longest time to the first token of a stream, in seconds. Default: 120 for a model elsewhere, "
        "no limit for one on this machine.",
    )
    between_tokens_seconds: float | None = Field(
        None,
        gt=0,
        description="Longest time between two tokens of a stream, in seconds. Default: 60 for a model elsewhere, "
        "no limit for one on this machine.",
    )
    total_seconds: float | None = Field(
        None,
        gt=0,
        description="Longest time for one request and all its attempts, in seconds. Default: `request_seconds` "
        "under `[server]`.",
    )
    drop_unsupported: bool = Field(
        False,
        description="Whether what no target can do is left out of a request. Otherwise such a request is refused "
        "with status 400, by the name of the feature.",
    )
    difficulty: DifficultySettings | None = None

    @property
    def leads_to(self) -> tuple[tuple[tuple[str | int, ...], str], ...]:
        """The other models that this one may ask, each with the path of the setting that names it."""
        named: list[tuple[tuple[str | int, ...], str]] = [
            (("fallback", number), name) for number, name in enumerate(self.fallback)
        ]
        if self.longer is not None:
            named.append((("longer",), self.longer))
        if self.difficulty is not None:
            named.append((("difficulty", "easy"), self.difficulty.easy))
        return tuple(named)
