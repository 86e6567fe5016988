"""What the files of a sentence encoder or a cross-encoder say about how to run it.

The names are those that sentence-transformers, optimum and the Hub write. Weights are OpenVINO IR, ONNX, or, for a
BERT, safetensors; nothing is unpickled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from penstock.errors import ConfigError
from penstock.models.encoders.bert_config import BertConfig
from penstock.models.encoders.messages import Pooling
from penstock.models.pull import MANIFEST, manifest

T = TypeVar("T")

GRAPHS = (
    "openvino_model.xml",
    "openvino/openvino_model.xml",
    "model.onnx",
    "onnx/model.onnx",
    "model.safetensors",
)
"""Where weights are looked for, the first that is there counts."""

TOKENS = 512
"""Longest text where no file says one."""

ABSURD = 1_000_000
"""A length from which on a tokenizer says that it knows none."""

OFFSET_MODELS = frozenset({"roberta", "xlm-roberta", "camembert", "mpnet"})
"""Models that count positions from behind their padding id, which is not a position of a token."""

POOLINGS: dict[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last",
}


class ModelConfig(Struct, frozen=True, kw_only=True):
    """`config.json`, as far as it matters to every architecture."""

    model_type: str = ""
    max_position_embeddings: int | None = None
    pad_token_id: int | None = None

    @property
    def longest(self) -> int | None:
        if self.max_position_embeddings is None or self.model_type not in OFFSET_MODELS:
            return self.max_position_embeddings
        return self.max_position_embeddings - (self.pad_token_id or 0) - 1


class SentenceConfig(Struct, frozen=True):
    max_seq_length: int | None = None


class TokenizerConfig(Struct, frozen=True):
    model_max_length: float | None = None


class Module(Struct, frozen=True):
    """A line of `modules.json`."""

    path: str
    type: str


class SentenceSettings(Struct, frozen=True):
    """`config_sentence_transformers.json`: what stands before texts of either kind."""

    prompts: dict[str, str | None] = {}


class ModelFiles(Struct, frozen=True, kw_only=True):
    """A model by its files. `behind` names modules behind the pooling; `digest` is of all weights and
    the tokenizer, `positions` the most tokens that the graph can take, `None` where no file says it.
    """

    folder: Path
    graph: Path
    tokenizer: Path
    max_tokens: int
    positions: int | None
    pad_id: int
    pooling: Pooling | None
    behind: tuple[str, ...]
    query_prefix: str
    passage_prefix: str
    digest: str

    @classmethod
    def read(cls, folder: Path, file: str = "") -> ModelFiles:
        """The model in `folder`, with `file` as its weights. Raises `ConfigError` that names what is missing."""
        graph = graph_in(folder, file)
        tokenizer = folder / "tokenizer.json"
        if graph.suffix == ".safetensors":
            BertConfig.read(folder)
        config = read(folder / "config.json", ModelConfig) or ModelConfig()
        pooling, behind = pooling_in(folder)
        prompts = (
            read(folder / "config_sentence_transformers.json", SentenceSettings) or SentenceSettings()
        ).prompts
        return cls(
            folder=folder,
            graph=graph,
            tokenizer=tokenizer,
            max_tokens=longest_in(folder, config),
            positions=config.longest,
            pad_id=config.pad_token_id or 0,
            pooling=pooling,
            behind=behind,
            query_prefix=prompts.get("query") or "",
            passage_prefix=prompts.get("passage") or prompts.get("document") or "",
            digest=digest_of(folder, [graph, *weights_beside(graph), tokenizer]),
        )

    def tokens(self, wanted: int | None) -> int:
        """The length to cut texts to. Raises `ConfigError` for more than the graph can take."""
        if wanted is not None and self.positions is not None and wanted > self.positions:
            raise ConfigError(
                f"max_tokens = {wanted} is more than {self.folder} can read: {self.positions}.",
                hint="Leave it out, or write less.",
            )
        return wanted or self.max_tokens


def graph_in(folder: Path, file: str) -> Path:
    """The file with the weights. Raises `ConfigError`."""
    if file:
        graph = folder / file
        if graph.suffix not in (".xml", ".onnx", ".safetensors"):
            raise ConfigError(
                f"{file!r} is not a model that is run here.",
                hint="Name OpenVINO's .xml, an .onnx file or BERT's model.safetensors.",
            )
        if not graph.is_file():
            raise ConfigError(f"{folder} has no {file}.", hint="Correct `file`, or leave it out.")
        return graph
    for name in GRAPHS:
        if (folder / name).is_file():
            return folder / name
    raise ConfigError(
        f"{folder} has no model: none of {', '.join(GRAPHS)} is there.",
        hint="Export it to ONNX or OpenVINO IR (optimum-cli export openvino), or name the weights with `file`.",
    )


def weights_beside(graph: Path) -> Iterator[Path]:
    """Where the weights are that are not in the graph's own file."""
    if graph.suffix == ".xml":
        yield graph.with_suffix(".bin")
    if graph.suffix == ".onnx":
        yield from sorted(each for each in graph.parent.glob(f"{graph.name}*") if each != graph)


def pooling_in(folder: Path) -> tuple[Pooling | None, tuple[str, ...]]:
    """The pooling that sentence-transformers was told, and what it runs behind it. Raises `ConfigError`."""
    modules = read(folder / "modules.json", list[Module])
    if modules is None:
        if (folder / "1_Pooling" / "config.json").is_file():
            return pooling_of(folder / "1_Pooling" / "config.json"), ()
        # What sentence-transformers does with a model that says nothing else.
        return ("mean" if (folder / "sentence_bert_config.json").is_file() else None), ()
    found: Pooling | None = None
    behind = []
    for module in modules:
        kind = module.type.rpartition(".")[2]
        if kind == "Pooling":
            found = pooling_of(folder / module.path / "config.json")
        elif kind not in ("Transformer", "Normalize"):
            behind.append(kind)
    return found, tuple(behind)


def pooling_of(path: Path) -> Pooling:
    """Raises `ConfigError` for a pooling that is not done here."""
    config = read(path, dict[str, Any])
    if config is None:
        raise ConfigError(f"{path} is missing.", hint="Copy the model's folder again, with all it holds.")
    wanted = [name for name, value in config.items() if name.startswith("pooling_mode_") and value is True]
    if len(wanted) != 1 or wanted[0] not in POOLINGS:
        raise ConfigError(
            f"{path} wants {' and '.join(wanted) or 'no pooling'}; known are {', '.join(POOLINGS)}, one of them.",
            hint="Use a model with one of these, or export it with its pooling (an output `sentence_embedding`).",
        )
    return POOLINGS[wanted[0]]


def longest_in(folder: Path, config: ModelConfig) -> int:
    """Tokens that texts are cut to: the least that any file says, marks included."""
    sentence = read(folder / "sentence_bert_config.json", SentenceConfig)
    tokenizer = read(folder / "tokenizer_config.json", TokenizerConfig)
    said = [
        sentence.max_seq_length if sentence else None,
        tokenizer.model_max_length if tokenizer else None,
        config.longest,
    ]
    return int(min((each for each in said if each is not None and 0 < each < ABSURD), default=TOKENS))


def digest_of(folder: Path, paths: list[Path]) -> str:
    """Of the content of files; those that were pulled are known by the record of their pull."""
    pulled = manifest(folder).files if (folder / MANIFEST).is_file() else ()
    known = {file.name: file.sha256 for file in pulled}
    digest = hashlib.sha256()
    try:
        for path in paths:
            name = path.relative_to(folder).as_posix()
            digest.update((known.get(name) or sha256_of(path)).encode())
    except OSError as error:
        raise ConfigError(f"{folder} is no whole model: {error}.", hint="Pull or copy the model again.") from error
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read(path: Path, kind: type[T]) -> T | None:
    """A JSON file, `None` where there is none. Raises `ConfigError`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.", hint="Pull or copy the model again.") from error
