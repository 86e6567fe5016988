"""Reads a safetensors file with nothing but numpy. Format: https://github.com/huggingface/safetensors#format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.errors import ConfigError

DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
}
MAX_HEADER = 100_000_000


class _Entry(msgspec.Struct, frozen=True):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def read_tensors(path: Path) -> Mapping[str, NDArray[np.generic]]:
    """Every tensor of the file by name, mapped from the disk, so that only what is used is read.

    The arrays are writable, as OpenVINO wants those that it shares; what is written stays in this process.

    Raises `ConfigError` when the file is not whole safetensors of the numeric types above.
    """
    try:
        data = np.memmap(path, dtype=np.uint8, mode="c")
        length = int.from_bytes(data[:8].tobytes(), "little")
        start = 8 + length
        if length > MAX_HEADER or start > data.size:
            raise ValueError("its header does not fit")
        header = msgspec.json.decode(data[8:start].tobytes(), type=dict[str, msgspec.Raw])
        header.pop("__metadata__", None)
        entries = {name: msgspec.json.decode(raw, type=_Entry) for name, raw in header.items()}
        return {name: _tensor(data[start:], entry) for name, entry in entries.items()}
    except (OSError, msgspec.DecodeError, KeyError, ValueError) as error:
        raise ConfigError(f"{path} is not a safetensors file: {error}.", hint="Pull the model again.") from error


def _tensor(data: NDArray[np.uint8], entry: _Entry) -> NDArray[np.generic]:
    start, end = entry.data_offsets
    if not 0 <= start <= end <= data.size:
        raise ValueError("a tensor lies outside the file")
    return data[start:end].view(DTYPES[entry.dtype]).reshape(entry.shape)
