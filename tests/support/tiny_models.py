"""Models small enough to make in a test, in the files that real ones have, with their arithmetic in NumPy."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = (
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "gate",
    "water",
    "open",
    "closed",
    "turbine",
    "the",
    "is",
    "how",
    "query:",
)
HIDDEN = 8
HEADS = 2
LAYERS = 2
POSITIONS = 24


def write_tokenizer(folder: Path, pad: int = 0) -> Tokenizer:
    """A word is a token; marks and types are BERT's. With another `pad`, ids are shifted to make room for it."""
    names = list(WORDS)
    names[0], names[pad] = names[pad], names[0]
    tokenizer = Tokenizer(models.WordLevel({word: id for id, word in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    marks = [("[CLS]", tokenizer.token_to_id("[CLS]")), ("[SEP]", tokenizer.token_to_id("[SEP]"))]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=marks
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer


def write_onnx(folder: Path, output: str, rows: int, *, types: bool = False, seed: int = 7) -> np.ndarray:
    """A graph that looks up a row for each token, and returns the table (vocabulary, `rows`).

    `output` is "last_hidden_state" (B, S, rows), or "logits": the sum of the first column over all tokens, (B, 1).
    With `types`, tokens of the second text count double.
    """
    table = np.random.default_rng(seed).standard_normal((len(WORDS), rows)).astype(np.float32)
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if types else [])]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["B", "S"]) for name in names]
    constants = [
        numpy_helper.from_array(table, "table"),
        numpy_helper.from_array(np.array([2]), "last"),
        numpy_helper.from_array(np.array([1]), "tokens"),
    ]
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["looked_up"]),
        helper.make_node("Cast", ["attention_mask"], ["present"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["present", "last"], ["weight"]),
    ]
    shape: list[str | int] = ["B", "S", rows]
    if output == "last_hidden_state":
        nodes.append(helper.make_node("Mul", ["looked_up", "weight"], [output]))
    else:
        shape = ["B", 1]
        nodes += [
            helper.make_node("Cast", ["token_type_ids"], ["second"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["present", "second"], ["counted"]),
            helper.make_node("Unsqueeze", ["counted", "last"], ["times"]),
            helper.make_node("Mul", ["looked_up", "times"], ["masked"]),
            helper.make_node("ReduceSum", ["masked", "tokens"], [output], keepdims=0),
        ]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 10
    onnx.save(model, folder / "model.onnx")
    return table


def write_encoder(folder: Path, pooling: str = "mean_tokens", *, prefixes: bool = False) -> np.ndarray:
    """A sentence encoder in ONNX, in a folder like those of sentence-transformers; returns its table."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    text = json.dumps(
        [
            {"idx": at, "name": str(at), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for at, (path, kind) in enumerate(modules)
        ]
    )
    (folder / "modules.json").write_text(text)
    (folder / "1_Pooling").mkdir(exist_ok=True)
    modes = ("cls_token", "mean_tokens", "max_tokens", "lasttoken")
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps(
            {"word_embedding_dimension": HIDDEN} | {f"pooling_mode_{mode}": mode == pooling for mode in modes}
        )
    )
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 16, "do_lower_case": False}))
    if prefixes:
        prompts = {"prompts": {"query": "query: ", "passage": "the "}}
        (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    return write_onnx(folder, "last_hidden_state", HIDDEN)


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


class TinyBert:
    """A BERT with random weights and a head of one label: its files, and the same arithmetic in NumPy."""

    def __init__(self, seed: int = 3, labels: int = 1) -> None:
        draw = np.random.default_rng(seed)
        sizes = {
            "embeddings.word_embeddings.weight": (len(WORDS), HIDDEN),
            "embeddings.position_embeddings.weight": (POSITIONS, HIDDEN),
            "embeddings.token_type_embeddings.weight": (2, HIDDEN),
            **norm_sizes("embeddings.LayerNorm"),
        }
        for layer in range(LAYERS):
            prefix = f"encoder.layer.{layer}"
            for part in ("query", "key", "value"):
                sizes |= linear_sizes(f"{prefix}.attention.self.{part}", HIDDEN, HIDDEN)
            sizes |= linear_sizes(f"{prefix}.attention.output.dense", HIDDEN, HIDDEN)
            sizes |= norm_sizes(f"{prefix}.attention.output.LayerNorm")
            sizes |= linear_sizes(f"{prefix}.intermediate.dense", HIDDEN * 2, HIDDEN)
            sizes |= linear_sizes(f"{prefix}.output.dense", HIDDEN, HIDDEN * 2)
            sizes |= norm_sizes(f"{prefix}.output.LayerNorm")
        sizes |= linear_sizes("pooler.dense", HIDDEN, HIDDEN)
        self.tensors = {f"bert.{name}": draw.standard_normal(size).astype("<f4") for name, size in sizes.items()}
        for name, size in linear_sizes("classifier", labels, HIDDEN).items():
            self.tensors[name] = draw.standard_normal(size).astype("<f4")

    def write(self, folder: Path) -> Tokenizer:
        folder.mkdir(parents=True, exist_ok=True)
        config = {
            "model_type": "bert",
            "hidden_act": "gelu",
            "hidden_size": HIDDEN,
            "num_attention_heads": HEADS,
            "num_hidden_layers": LAYERS,
            "layer_norm_eps": 1e-12,
            "max_position_embeddings": POSITIONS,
            "pad_token_id": 0,
        }
        (folder / "config.json").write_text(json.dumps(config))
        write_safetensors(folder / "model.safetensors", self.tensors)
        return write_tokenizer(folder)

    def score(self, ids: list[int], types: list[int]) -> float:
        hidden = self._get("embeddings.word_embeddings.weight")[ids]
        hidden = hidden + self._get("embeddings.position_embeddings.weight")[: len(ids)]
        hidden = self._norm(
            hidden + self._get("embeddings.token_type_embeddings.weight")[types], "embeddings.LayerNorm"
        )
        for layer in range(LAYERS):
            hidden = self._layer(hidden, f"encoder.layer.{layer}")
        pooled = np.tanh(self._linear(hidden[0], "pooler.dense"))
        logit = pooled @ self.tensors["classifier.weight"][0] + self.tensors["classifier.bias"][0]
        return 1 / (1 + math.exp(-float(logit)))

    def _get(self, name: str) -> np.ndarray:
        return self.tensors[f"bert.{name}"].astype(np.float64)

    def _layer(self, hidden: np.ndarray, prefix: str) -> np.ndarray:
        query, key, value = (
            self._linear(hidden, f"{prefix}.attention.self.{part}").reshape(len(hidden), HEADS, -1).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(1, 2) / math.sqrt(HIDDEN // HEADS)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        mixed = (weights @ value).swapaxes(0, 1).reshape(len(hidden), HIDDEN)
        hidden = self._norm(
            hidden + self._linear(mixed, f"{prefix}.attention.output.dense"), f"{prefix}.attention.output.LayerNorm"
        )
        inner = self._linear(hidden, f"{prefix}.intermediate.dense")
        inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
        return self._norm(hidden + self._linear(inner, f"{prefix}.output.dense"), f"{prefix}.output.LayerNorm")

    def _linear(self, value: np.ndarray, prefix: str) -> np.ndarray:
        return value @ self._get(f"{prefix}.weight").T + self._get(f"{prefix}.bias")

    def _norm(self, value: np.ndarray, prefix: str) -> np.ndarray:
        centred = value - value.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
        return scaled * self._get(f"{prefix}.weight") + self._get(f"{prefix}.bias")


def linear_sizes(name: str, out: int, into: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def norm_sizes(name: str) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (HIDDEN,), f"{name}.bias": (HIDDEN,)}


def write_safetensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    header: dict[str, object] = {}
    at = 0
    for name, values in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [at, at + values.nbytes]}
        at += values.nbytes
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(v.tobytes() for v in tensors.values()))
