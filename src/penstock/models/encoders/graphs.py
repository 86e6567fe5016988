"""From files to an OpenVINO graph that gives one row of numbers for a text: a vector of length 1, or a score.

What an exporter wrote is taken by the names that all of them use: inputs `input_ids`, `attention_mask` and
`token_type_ids`, outputs `sentence_embedding`, `last_hidden_state` or `logits`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset16 as ops

from penstock.errors import ConfigError
from penstock.models.encoders import bert_graph
from penstock.models.encoders.bert_config import BertConfig
from penstock.models.encoders.heads import pooled, probability, unit
from penstock.models.encoders.messages import Setup
from penstock.models.encoders.safetensors import read_tensors

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
VECTORS = "sentence_embedding"
LOGITS = "logits"


def load(setup: Setup) -> ov.Model:
    """The model with one output, float32 (B, width). Raises `ConfigError` for what cannot be run."""
    path = Path(setup.graph)
    try:
        model = built(path, setup) if path.suffix == ".safetensors" else finished(ov.Core().read_model(path), setup)
        model.validate_nodes_and_infer_types()
    except (RuntimeError, KeyError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error).strip().splitlines()[-1]
        raise ConfigError(f"{path} cannot be run: {reason}.", hint="Export or copy the model again.") from error
    return model


def built(path: Path, setup: Setup) -> ov.Model:
    """The graph of a BERT from its weights alone."""
    tensors, config = read_tensors(path), BertConfig.read(path.parent)
    if setup.scores:
        return bert_graph.build_scores(tensors, config)
    refuse_behind(path, setup)
    return bert_graph.build_vectors(tensors, config, setup.pooling or "mean")


def finished(model: ov.Model, setup: Setup) -> ov.Model:
    """An exported graph with its head on, for texts of any number and length."""
    path = Path(setup.graph)
    names = {port.get_any_name(): port for port in model.inputs}
    if unknown := [name for name in names if name not in INPUTS] or [
        name for name in INPUTS[:2] if name not in names
    ]:
        raise ConfigError(
            f"{path} has the inputs {', '.join(names)}; those of an encoder are {', '.join(INPUTS)}.",
            hint=f"{unknown[0]!r} is the difference: export it for feature extraction or text classification.",
        )
    model.reshape({name: ov.PartialShape([-1, -1]) for name in names})
    head = scores_of(model, path) if setup.scores else vectors_of(model, names["attention_mask"], setup)
    result = ops.result(ops.convert(head, np.float32), name="rows")
    return ov.Model([result], model.get_parameters(), path.stem)


def vectors_of(model: ov.Model, mask: Any, setup: Setup) -> Any:
    path = Path(setup.graph)
    sources = {name_of(port): port.get_node().input_value(0) for port in model.outputs}
    if VECTORS in sources:
        return unit(sources[VECTORS])
    hidden = [source for source in sources.values() if source.get_partial_shape().rank == ov.Dimension(3)]
    if not hidden:
        flat = [
            source
            for name, source in sources.items()
            if source.get_partial_shape().rank == ov.Dimension(2) and name != LOGITS
        ]
        if len(flat) != 1:
            raise no_output(path, model, f"`{VECTORS}` or token vectors of three dimensions")
        return unit(flat[0])
    if setup.pooling is None:
        raise ConfigError(
            f"{path} gives a vector for each token, and no file beside it says how they become one.",
            hint='Add pooling = "mean", "cls" or "last", as the model\'s card says.',
        )
    refuse_behind(path, setup)
    return unit(pooled(hidden[0], mask, setup.pooling))


def scores_of(model: ov.Model, path: Path) -> Any:
    """One score of a pair: the sigmoid of its only logit."""
    sources = [port.get_node().input_value(0) for port in model.outputs if name_of(port) == LOGITS] or [
        port.get_node().input_value(0) for port in model.outputs
    ]
    shape = sources[0].get_partial_shape()
    if len(sources) != 1 or shape.rank != ov.Dimension(2) or shape[1] not in (ov.Dimension(1), ov.Dimension(-1)):
        raise no_output(path, model, "one logit for each pair")
    return probability(sources[0])


def name_of(port: Any) -> str:
    names: set[str] = port.get_names()
    return next(iter(sorted(names)), "")


def no_output(path: Path, model: ov.Model, wanted: str) -> ConfigError:
    found = ", ".join(f"{name_of(port)} {port.get_partial_shape()}" for port in model.outputs)
    return ConfigError(f"{path} gives {found}; {wanted} is what is wanted.", hint="Export it for its own task.")


def refuse_behind(path: Path, setup: Setup) -> None:
    if setup.behind:
        raise ConfigError(
            f"{path.parent} runs {' and '.join(setup.behind)} behind its pooling, which is not done here.",
            hint=f"Export the whole of it, so that the graph has an output `{VECTORS}`.",
        )
