"""Local engines: processes that run a model file, presented as providers."""

from __future__ import annotations

from typing import Literal

from penstock.errors import ConfigError
from penstock.models.engines.base import EngineSettings
from penstock.seams import Engine

__all__ = ["EngineKind", "EngineSettings", "build_engine"]

EngineKind = Literal["openvino", "llamacpp"]


def build_engine(kind: EngineKind, settings: EngineSettings) -> Engine:
    """An engine that is not started yet. Raises `ConfigError` where its library or the model file is missing."""
    if not settings.file.is_file():
        raise ConfigError(
            f"the model file {settings.file} of '{settings.model}' is not there.",
            hint=f"Run `penstock pull {settings.model}`.",
        )
    if kind == "openvino":
        from penstock.models.engines.openvino import OpenVINOEngine

        return OpenVINOEngine(settings)
    from penstock.models.engines.llamacpp import LlamaCppEngine

    return LlamaCppEngine(settings)
