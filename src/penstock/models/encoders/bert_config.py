"""What a BERT's own file says about its shape."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from penstock.errors import ConfigError


class BertConfig(Struct, frozen=True, kw_only=True):
    """The part of `config.json` that the graph needs."""

    model_type: str
    hidden_act: str
    hidden_size: int
    num_attention_heads: int
    num_hidden_layers: int
    layer_norm_eps: float
    max_position_embeddings: int

    @classmethod
    def read(cls, folder: Path) -> BertConfig:
        """Raises `ConfigError` for a folder without it, or of another architecture."""
        path = folder / "config.json"
        try:
            config = msgspec.json.decode(path.read_bytes(), type=cls)
        except (OSError, msgspec.DecodeError) as error:
            raise ConfigError(f"{path} cannot be read: {error}.", hint="Pull the model again.") from error
        if (config.model_type, config.hidden_act) != ("bert", "gelu"):
            raise ConfigError(
                f"{path} describes a {config.model_type} model with {config.hidden_act}; from safetensors only "
                "BERT with gelu is run.",
                hint="Export it to ONNX or OpenVINO IR (optimum-cli export openvino), or use all-minilm-l6-v2.",
            )
        return config
