"""Files of this machine: copied, and copied again when they change."""

from pathlib import Path

import pytest

from penstock.errors import PullFailed
from penstock.models.pull import pull, verify

pytestmark = pytest.mark.usefixtures("cache")


def test_a_file(tmp_path: Path) -> None:
    source = tmp_path / "my modèl.gguf"
    source.write_bytes(b"one")
    folder = pull(f"file:{source}")
    assert (folder / source.name).read_bytes() == b"one"
    assert pull(f"file:{source}") == folder
    verify(folder)


def test_a_changed_file_is_copied_again(tmp_path: Path) -> None:
    source = tmp_path / "model.gguf"
    source.write_bytes(b"one")
    folder = pull(f"file:{source}")
    source.write_bytes(b"three")
    assert pull(f"file:{source}") == folder
    assert (folder / "model.gguf").read_bytes() == b"three"


def test_the_copy_outlives_its_source(tmp_path: Path) -> None:
    source = tmp_path / "model.gguf"
    source.write_bytes(b"one")
    folder = pull(f"file:{source}")
    source.unlink()
    assert pull(f"file:{source}") == folder


def test_a_folder_without_what_may_hold_code(tmp_path: Path) -> None:
    source = tmp_path / "encoder"
    (source / "1_Pooling").mkdir(parents=True)
    for name in ("model.safetensors", "1_Pooling/config.json", "pytorch_model.pkl", "run.py"):
        (source / name).write_bytes(name.encode())
    folder = pull(f"file:{source}")
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found == {"model.safetensors", "1_Pooling/config.json", "penstock.json"}


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PullFailed, match=r"missing\.gguf does not exist"):
        pull(f"file:{tmp_path}/missing.gguf")
    (tmp_path / "empty").mkdir()
    with pytest.raises(PullFailed, match=r"empty holds no model files\. Looked for \.gguf"):
        pull(f"file:{tmp_path}/empty")


def test_verifying_finds_a_file_that_was_touched(tmp_path: Path) -> None:
    source = tmp_path / "model.gguf"
    source.write_bytes(b"one")
    folder = pull(f"file:{source}")
    (folder / "model.gguf").write_bytes(b"two")
    with pytest.raises(PullFailed, match=r"model\.gguf is not what was pulled\. Delete"):
        verify(folder)
