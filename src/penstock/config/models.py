"""`[models.NAME]`: what answers, by the name that clients call it: one target, or a route over several."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from penstock.config.endpoints import ENDPOINT, EndpointSettings, is_remote
from penstock.config.routing import RouteSettings
from penstock.config.table import Table, conflict

DEFAULT_MODEL = "smollm2-135m-instruct"

LOCAL_ONLY = ("engine", "context", "cache_tokens", "max_running", "max_waiting")


class UseSettings(Table):
    """A model, and how it runs on this machine."""

    use: str = Field(
        min_length=1,
        description="A model of the catalog, run on this machine, or `provider/model`, reached over the network.",
    )
    weight: float = Field(
        1.0, gt=0, description="Share of the requests, beside the weights of the other targets of the same model."
    )
    max_in_flight: int | None = Field(
        None, ge=1, description="Requests that the target answers at the same time. Default: as many as come."
    )
    engine: Literal["openvino", "llamacpp"] = Field(
        "openvino", description="What runs a local model. `llamacpp` needs `pip install 'penstock[llamacpp]'`."
    )
    context: int | None = Field(
        None, ge=256, description="Longest prompt and answer together, in tokens. Default: the model's own limit."
    )
    cache_tokens: int = Field(
        65_536,
        ge=1024,
        description="Tokens that a local model keeps in memory for all requests in flight together; memory is "
        "taken as it is used.",
    )
    max_running: int = Field(64, ge=1, description="Requests that a local model answers at the same time.")
    max_waiting: int = Field(
        256, ge=0, description="Requests that wait for a local model; the next ones are refused with status 429."
    )


class TargetSettings(EndpointSettings, UseSettings):
    """One of the targets of a model: a model of the catalog on this machine, or one reached over the network."""

    @property
    def irrelevant(self) -> tuple[str, ...]:
        """The settings that have no effect on this kind of model."""
        return LOCAL_ONLY if self.remote else ENDPOINT

    @property
    def remote(self) -> bool:
        """Whether `use` is `provider/model`; `hf:…` and `file:…` are sources of local models."""
        return is_remote(self.use)

    @property
    def provider(self) -> str:
        """The provider of a remote model; "" for a local one."""
        return self.use.partition("/")[0] if self.remote else ""

    @property
    def model(self) -> str:
        """The model's own name, without the provider."""
        return self.use.partition("/")[2] if self.remote else self.use

    @model_validator(mode="after")
    def _nothing_ignored(self) -> Self:
        """A setting that has no effect on this kind of model is a misunderstanding, so it is refused."""
        elsewhere = is_remote(self.use)
        wrong = [key for key in (LOCAL_ONLY if elsewhere else ENDPOINT) if key in self.model_fields_set]
        if self.use and wrong:
            place = "elsewhere" if elsewhere else "on this machine"
            advice = "" if elsewhere else "; a model elsewhere is use = 'provider/model'"
            raise conflict(f"has no effect on {self.use!r}, which runs {place}{advice}", wrong[0])
        return self


class ModelSettings(RouteSettings, TargetSettings):
    """A model, by the name that the app and its clients call it. `models.default` answers where none is named.

    It is one target, named by `use`, or a route over several `targets`.
    """

    use: str = Field(
        "",
        description="A model of the catalog, run on this machine, or `provider/model`, reached over the network. "
        "`targets` stands in its place where several answer.",
    )
    targets: Annotated[tuple[TargetSettings, ...], Field(strict=False)] = Field(
        (), description="The targets that a route chooses from, each with the settings of a model of its own."
    )

    @property
    def irrelevant(self) -> tuple[str, ...]:
        if self.targets:
            return tuple(TargetSettings.model_fields)
        kind = LOCAL_ONLY if self.remote else ENDPOINT
        return (*kind, "targets", "weight", "strategy", "hedge_after")

    @property
    def backends(self) -> tuple[TargetSettings, ...]:
        """The targets, also where there is only one."""
        return self.targets or (self,)

    @property
    def remote(self) -> bool:
        """Whether all of it runs elsewhere."""
        return all(is_remote(each.use) for each in self.backends)

    @model_validator(mode="after")
    def _one_or_several(self) -> Self:
        if not self.targets:
            if not self.use:
                raise conflict("is missing", "use")
            if "weight" in self.model_fields_set:
                raise conflict("has no effect on a model with one target", "weight")
            return self
        for key in TargetSettings.model_fields:
            if key in self.model_fields_set:
                raise conflict("belongs to each of the targets, where there are targets", key)
        return self

    @model_validator(mode="after")
    def _deadlines_hold(self) -> Self:
        if self.connect_seconds is not None and not any(each.remote for each in self.backends):
            raise conflict("has no effect on a model that runs on this machine", "connect_seconds")
        if self.hedge_after is not None and len(self.backends) < 2:
            raise conflict(
                "has no effect on a model with one target: a second attempt goes to another", "hedge_after"
            )
        if "strategy" in self.model_fields_set and len(self.backends) < 2:
            raise conflict("has no effect on a model with one target", "strategy")
        return self
