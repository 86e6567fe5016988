"""A BERT as an OpenVINO graph, from token ids to one vector of length 1 for each text, or to the score of a pair.

Built straight from the weights: no torch, no conversion, and the query, key and value projections of a layer
are one matrix product. Shapes: B texts, S tokens of the longest, H hidden size, N heads of D.
The arithmetic is that of Devlin et al. 2018 (arXiv:1810.04805), pooled as in Reimers and Gurevych 2019
(arXiv:1908.10084).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset16 as ops

from penstock.errors import ConfigError
from penstock.models.encoders.bert_config import BertConfig
from penstock.models.encoders.heads import pooled, probability, unit
from penstock.models.encoders.messages import Pooling

Tensors = Mapping[str, NDArray[np.generic]]


def build_vectors(tensors: Tensors, config: BertConfig, pooling: Pooling) -> ov.Model:
    """Inputs `input_ids` and `attention_mask` (1 for a token, 0 for padding), int32 (B, S); output float32 (B, H).

    Raises `KeyError` with the name of a missing weight.
    """
    ids, mask = parameter("input_ids"), parameter("attention_mask")
    weights = _Weights(tensors, config)
    hidden = weights.encode(weights.embed(ids), mask)
    return ov.Model([ops.result(unit(pooled(hidden, mask, pooling)), name="rows")], [ids, mask], "bert")


def build_scores(tensors: Tensors, config: BertConfig) -> ov.Model:
    """A cross-encoder: with `token_type_ids` (0 in the query, 1 in the text); output the score of a pair, (B, 1).

    Raises `KeyError` with the name of a missing weight, `ConfigError` for a head with another number of outputs.
    """
    ids, mask, types = parameter("input_ids"), parameter("attention_mask"), parameter("token_type_ids")
    weights = _Weights(tensors, config)
    hidden = weights.encode(weights.embed(ids, types), mask)
    first = ops.tanh(weights.linear(pooled(hidden, mask, "cls"), "pooler.dense"))
    weight, offset = (np.asarray(tensors[f"classifier.{name}"], np.float32) for name in ("weight", "bias"))
    if weight.shape[0] != 1:
        raise ConfigError(
            f"The model tells {weight.shape[0]} classes apart; a reranker gives one score.",
            hint="Use a cross-encoder with one label, such as those trained on MS MARCO.",
        )
    logits = ops.add(ops.matmul(first, shared(weight), False, True), shared(offset))
    return ov.Model([ops.result(probability(logits), name="rows")], [ids, mask, types], "cross-encoder")


def parameter(name: str) -> Any:
    node = ops.parameter([-1, -1], np.int32, name=name)
    node.output(0).get_tensor().set_names({name})
    return node


class _Weights:
    """The layers of one model, each a function of the node before it."""

    def __init__(self, tensors: Tensors, config: BertConfig) -> None:
        self._tensors = tensors
        self._config = config
        self._prefix = "" if "embeddings.word_embeddings.weight" in tensors else "bert."

    def _get(self, name: str) -> NDArray[np.float32]:
        return np.asarray(self._tensors[self._prefix + name], dtype=np.float32)

    def _constant(self, name: str) -> Any:
        return shared(self._get(name))

    def embed(self, ids: Any, types: Any = None) -> Any:
        """Word, position and segment embeddings, summed and normalised; without `types` all is segment 0."""
        positions = self._get("embeddings.position_embeddings.weight")
        segments = self._get("embeddings.token_type_embeddings.weight")
        if types is None:
            positions = positions + segments[0]
        length = ops.gather(ops.shape_of(ids, "i32"), ops.constant([1], np.int32), ops.constant(0, np.int32))
        first = ops.slice(shared(positions), ops.constant([0], np.int32), length, ops.constant([1], np.int32))
        words = ops.gather(self._constant("embeddings.word_embeddings.weight"), ids, ops.constant(0, np.int32))
        total = ops.add(words, first)
        if types is not None:
            total = ops.add(total, ops.gather(shared(segments), types, ops.constant(0, np.int32)))
        return self.norm(total, "embeddings.LayerNorm")

    def encode(self, hidden: Any, mask: Any) -> Any:
        """All layers: (B, S, H) to (B, S, H)."""
        present = ops.convert(mask, np.float32)
        # (B, 1, 1, S): added to the attention scores, so that padding gets no weight.
        bias = ops.multiply(
            ops.unsqueeze(ops.subtract(present, np.float32(1)), ops.constant([1, 2], np.int32)), np.float32(30_000)
        )
        for layer in range(self._config.num_hidden_layers):
            hidden = self.layer(hidden, bias, f"encoder.layer.{layer}")
        return hidden

    def layer(self, hidden: Any, bias: Any, prefix: str) -> Any:
        attended = self.linear(
            self.attend(hidden, bias, f"{prefix}.attention.self"), f"{prefix}.attention.output.dense"
        )
        hidden = self.norm(ops.add(hidden, attended), f"{prefix}.attention.output.LayerNorm")
        inner = ops.gelu(self.linear(hidden, f"{prefix}.intermediate.dense"), "erf")
        outer = self.linear(inner, f"{prefix}.output.dense")
        return self.norm(ops.add(hidden, outer), f"{prefix}.output.LayerNorm")

    def attend(self, hidden: Any, bias: Any, prefix: str) -> Any:
        """Self-attention of all heads: (B, S, H) to (B, S, H)."""
        heads = self._config.num_attention_heads
        depth = self._config.hidden_size // heads
        parts = ("query", "key", "value")
        weight = np.concatenate([self._get(f"{prefix}.{part}.weight") for part in parts])
        offset = np.concatenate([self._get(f"{prefix}.{part}.bias") for part in parts])
        joined = ops.add(ops.matmul(hidden, shared(weight), False, True), shared(offset))
        split = ops.reshape(joined, ops.constant([0, 0, 3, heads, depth], np.int32), special_zero=True)
        # (3, B, N, S, D)
        by_part = ops.transpose(split, ops.constant([2, 0, 3, 1, 4], np.int32))
        query, key, value = (
            ops.squeeze(part, ops.constant([0], np.int32))
            for part in ops.split(by_part, ops.constant(0, np.int32), 3).outputs()
        )
        attended = ops.scaled_dot_product_attention(query, key, value, bias)
        merged = ops.transpose(attended, ops.constant([0, 2, 1, 3], np.int32))
        return ops.reshape(merged, ops.constant([0, 0, self._config.hidden_size], np.int32), special_zero=True)

    def linear(self, value: Any, prefix: str) -> Any:
        product = ops.matmul(value, self._constant(f"{prefix}.weight"), False, True)
        return ops.add(product, self._constant(f"{prefix}.bias"))

    def norm(self, value: Any, prefix: str) -> Any:
        scaled = ops.mvn(value, ops.constant([-1], np.int32), True, self._config.layer_norm_eps, "inside_sqrt")
        scaled = ops.multiply(scaled, self._constant(f"{prefix}.weight"))
        return ops.add(scaled, self._constant(f"{prefix}.bias"))


def shared(values: NDArray[np.float32]) -> Any:
    """A constant that refers to the array instead of copying it: mapped weights stay mapped."""
    return ov.op.Constant(values, shared_memory=True)
