"""Reading safetensors: what was written comes back, and a damaged file is an error."""

import struct
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from penstock.errors import ConfigError
from penstock.models.encoders.safetensors import read_tensors

NAMES = {np.dtype("<f4"): "F32", np.dtype("<f2"): "F16", np.dtype("<i8"): "I64", np.dtype("u1"): "U8"}


def write(path: Path, tensors: dict[str, np.ndarray]) -> bytes:
    header: dict[str, object] = {"__metadata__": {"format": "np"}}
    body = b""
    for name, tensor in tensors.items():
        data = tensor.tobytes()
        header[name] = {
            "dtype": NAMES[tensor.dtype],
            "shape": tensor.shape,
            "data_offsets": (len(body), len(body) + len(data)),
        }
        body += data
    encoded = msgspec.json.encode(header)
    encoded += b" " * (-len(encoded) % 8)
    whole = struct.pack("<Q", len(encoded)) + encoded + body
    path.write_bytes(whole)
    return whole


ARRAYS = st.sampled_from(list(NAMES)).flatmap(
    lambda kind: hnp.arrays(kind, hnp.array_shapes(max_dims=3, max_side=5))
)


@given(tensors=st.dictionaries(st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__"), ARRAYS))
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, np.ndarray]) -> None:
    path = tmp_path_factory.mktemp("safetensors") / "m.safetensors"
    write(path, tensors)
    found = read_tensors(path)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor)
        assert found[name].dtype == tensor.dtype


def test_every_cut_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    whole = write(path, {"a": np.arange(4, dtype="<f4"), "b": np.ones((2, 2), "<f2")})
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ConfigError, match=r"m\.safetensors is not a safetensors file"):
            read_tensors(path)


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "BF8"},
        {"shape": [5]},
        {"data_offsets": [0, 400]},
        {"data_offsets": [-4, 12]},
        {"data_offsets": [8, 4]},
        {"shape": "x"},
    ],
)
def test_a_header_that_lies(tmp_path: Path, change: dict[str, object]) -> None:
    entry = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16], **change}
    encoded = msgspec.json.encode({"a": entry})
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + bytes(16))
    with pytest.raises(ConfigError, match="is not a safetensors file"):
        read_tensors(path)


def test_writing_to_a_tensor_leaves_the_file(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    whole = write(path, {"a": np.zeros(4, "<f4")})
    read_tensors(path)["a"][:] = 1
    assert path.read_bytes() == whole
