"""What a sentence encoder's own files say about its shape."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from penstock.errors import ConfigError

T = TypeVar("T")


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
        config = _decode(path, cls)
        if (config.model_type, config.hidden_act) != ("bert", "gelu"):
            raise ConfigError(
                f"{path} describes a {config.model_type} model with {config.hidden_act}; this encoder runs BERT "
                "with gelu.",
                hint="Use all-minilm-l6-v2.",
            )
        return config


class SentenceConfig(Struct, frozen=True, kw_only=True):
    """`sentence_bert_config.json`: the length that texts are cut to; the tokenizer's own file may say another."""

    max_seq_length: int

    @classmethod
    def read(cls, folder: Path) -> SentenceConfig:
        return _decode(folder / "sentence_bert_config.json", cls)


def _decode(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.", hint="Pull the model again.") from error
