"""A GGUF file's header, and a copy of a model that keeps the tokenizer and almost none of the weights.

Trying a constraint out needs a tokenizer and something that asks for tokens, not a model. The format is described
at https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from penstock.errors import ConfigError
from penstock.models.engines.wire import TokenizerFacts

STRING, ARRAY = 8, 9
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
UINT32 = 4
FLOAT32, FLOAT16 = 0, 1
ALIGNMENT = 32
CONTROL, USER_DEFINED = 3, 4
WIDTH, INNER, VOCABULARY_KEY = 64, 64, "tokenizer.ggml.tokens"

Entry = tuple[str, int, bytes]
"""Key, type and the value's bytes as they stand in the file."""


def write_tiny(source: Path, target: Path) -> None:
    """Writes a one-layer model whose weights are all zero, with the metadata and tokenizer of `source`.

    Raises `ConfigError` where `source` is not a GGUF file.
    """
    with source.open("rb") as file:
        entries = list(read_entries(file, source))
    values = {key: value for key, _, value in entries}
    architecture = values["general.architecture"][8:].decode()
    (tokens,) = struct.unpack_from("<Q", values[VOCABULARY_KEY], 4)
    sizes = {
        f"{architecture}.block_count": 1,
        f"{architecture}.embedding_length": WIDTH,
        f"{architecture}.feed_forward_length": INNER,
        f"{architecture}.attention.head_count": 1,
        f"{architecture}.attention.head_count_kv": 1,
        f"{architecture}.attention.key_length": WIDTH,
        f"{architecture}.attention.value_length": WIDTH,
        f"{architecture}.rope.dimension_count": WIDTH,
        "general.file_type": 1,
    }
    header = [
        (key, UINT32, struct.pack("<I", sizes[key])) if key in sizes else (key, kind, value)
        for key, kind, value in entries
    ]
    with target.open("wb") as out:
        out.write(b"GGUF" + struct.pack("<IQQ", 3, len(tiny_tensors(tokens)), len(header)))
        for key, kind, value in header:
            out.write(string(key) + struct.pack("<I", kind) + value)
        offset = 0
        for name, shape in tiny_tensors(tokens):
            out.write(string(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape))
            out.write(struct.pack("<IQ", FLOAT32 if len(shape) == 1 else FLOAT16, offset))
            offset += padded(bytes_of(shape))
        out.seek(padded(out.tell()))
        out.truncate(out.tell() + offset)


def read_entries(file: BufferedReader, source: Path) -> Iterator[Entry]:
    """The metadata of a GGUF file. Raises `ConfigError` where it is none, or cut off."""
    try:
        yield from entries_of(file, source)
    except (struct.error, KeyError, UnicodeDecodeError, OverflowError, OSError) as error:
        raise ConfigError(
            f"{source} is damaged: its header ends or breaks in the middle ({error}).",
            hint="Fetch the model again with `penstock pull`.",
        ) from error


def entries_of(file: BufferedReader, source: Path) -> Iterator[Entry]:
    magic, version, _, count = struct.unpack("<4sIQQ", file.read(24).ljust(24, b"\0"))
    if magic != b"GGUF" or version not in (2, 3):
        raise ConfigError(f"{source} is not a GGUF file.", hint="Name a model file in GGUF format, version 2 or 3.")
    for _ in range(count):
        (length,) = struct.unpack("<Q", file.read(8))
        key = file.read(length).decode()
        (kind,) = struct.unpack("<I", file.read(4))
        start = file.tell()
        skip(file, kind)
        end = file.tell()
        file.seek(start)
        yield key, kind, file.read(end - start)


def skip(file: BufferedReader, kind: int) -> None:
    if kind == STRING:
        (length,) = struct.unpack("<Q", file.read(8))
        file.seek(length, 1)
    elif kind == ARRAY:
        item, count = struct.unpack("<IQ", file.read(12))
        if item in SIZES:
            file.seek(SIZES[item] * count, 1)
            return
        for _ in range(count):
            skip(file, item)
    else:
        file.seek(SIZES[kind], 1)


def tiny_tensors(tokens: int) -> list[tuple[str, tuple[int, ...]]]:
    square = (WIDTH, WIDTH)
    return [
        ("token_embd.weight", (WIDTH, tokens)),
        ("output_norm.weight", (WIDTH,)),
        ("blk.0.attn_norm.weight", (WIDTH,)),
        ("blk.0.attn_q.weight", square),
        ("blk.0.attn_k.weight", square),
        ("blk.0.attn_v.weight", square),
        ("blk.0.attn_output.weight", square),
        ("blk.0.ffn_norm.weight", (WIDTH,)),
        ("blk.0.ffn_gate.weight", (WIDTH, INNER)),
        ("blk.0.ffn_up.weight", (WIDTH, INNER)),
        ("blk.0.ffn_down.weight", (INNER, WIDTH)),
    ]


def string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def bytes_of(shape: tuple[int, ...]) -> int:
    size = 4 if len(shape) == 1 else 2
    for length in shape:
        size *= length
    return size


def padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def tokenizer_facts(source: Path) -> TokenizerFacts:
    """Raises `ConfigError` where `source` is not a GGUF file."""
    with source.open("rb") as file:
        values = {key: value for key, _, value in read_entries(file, source)}
    kinds = values["tokenizer.ggml.token_type"]
    data = values[VOCABULARY_KEY]
    texts = []
    at = 12
    for (kind,) in struct.iter_unpack("<i", kinds[12:]):
        (length,) = struct.unpack_from("<Q", data, at)
        if kind in (CONTROL, USER_DEFINED):
            texts.append(data[at + 8 : at + 8 + length].decode("utf-8", "replace"))
        at += 8 + length
    beginning = values.get("tokenizer.ggml.bos_token_id")
    return TokenizerFacts(
        sorted(texts, key=len, reverse=True), None if beginning is None else int.from_bytes(beginning, "little")
    )
