"""The same run on a Ray cluster, started for it or reached by its address."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.errors import Unavailable
from penstock.knowledge.chunking import ChunkOptions
from penstock.knowledge.executors.ray import RayExecutor, RaySettings
from penstock.knowledge.loaders.messages import ReadRequest
from penstock.knowledge.values import KnowledgeOptions
from penstock.models.encoders.sentence import SentenceEncoder

pytest.importorskip("ray", reason="Ray for tests: pip install ray")
SCRIPT = Path(__file__).parents[1] / "support" / "ray_runs.py"
ALONE = ["unshare", "--map-root-user", "--net"]
"""In a network of its own, where there is nothing but loopback."""


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(12):
        body = "\n\n".join(f"Part {part} of {number} says something about {part * number}." for part in range(9))
        (folder / f"{number}.md").write_text(f"# Document {number}\n\n{body}\n")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    (folder / "page.html").write_text("<h1>A page</h1><p>With a paragraph.</p>")
    return folder


@pytest.fixture
def work() -> Iterator[Path]:
    """Not pytest's own folder: Ray's sockets lie in it, and their names must be short."""
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        yield Path(folder)


@pytest.mark.slow
def test_the_same_whoever_does_the_work(docs: Path, work: Path, minilm_folder: Path) -> None:
    if shutil.which("unshare") is None or subprocess.run([*ALONE, "true"], capture_output=True).returncode:
        pytest.skip("Ray listens on every address; without a network of its own it is not started by tests")
    command = [*ALONE, sys.executable, str(SCRIPT), str(docs), str(work), str(minilm_folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    digests = json.loads(done.stdout.splitlines()[-1])
    assert digests["processes"] == digests["own"] == digests["address"]


async def test_no_cluster_at_an_address(docs: Path, minilm_folder: Path) -> None:
    executor = RayExecutor(SentenceEncoder(minilm_folder), KnowledgeOptions(), RaySettings(address="127.0.0.1:1"))
    request = ReadRequest(path=bytes(docs / "1.md"), kind="markdown", chunking=ChunkOptions())
    with pytest.raises(Unavailable, match=r"no Ray cluster at 127\.0\.0\.1:1"):
        await executor.read(request)
    await executor.stop()


async def test_a_file_that_is_not_there_needs_no_cluster(minilm_folder: Path, tmp_path: Path) -> None:
    executor = RayExecutor(SentenceEncoder(minilm_folder), KnowledgeOptions(), RaySettings(address="127.0.0.1:1"))
    request = ReadRequest(path=bytes(tmp_path / "gone.md"), kind="markdown", chunking=ChunkOptions())
    assert (await executor.read(request)).status == "vanished"
