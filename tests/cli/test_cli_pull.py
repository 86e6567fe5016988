"""`penstock pull`: where models go, and how that looks on a terminal and in a log."""

import fcntl
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.terminal import ESCAPE, on_terminal, piped


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PENSTOCK_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "tiny.gguf"
    file.write_bytes(b"GGUF" + bytes(2_000_000))
    return file


def test_a_pipe_gets_the_folder_and_a_log_of_two_lines(model: Path) -> None:
    result = piped(["pull", f"file:{model}"])
    assert result.returncode == 0
    folder = Path(result.stdout.strip())
    assert (folder / "tiny.gguf").read_bytes() == model.read_bytes()
    assert result.stderr == f"{folder.name}: fetching, 2.0 MB\n{folder.name}: here, 2.0 MB\n"
    again = piped(["pull", f"file:{model}", "--json"])
    assert json.loads(again.stdout) == {f"file:{model}": str(folder)}
    assert again.stderr == ""


def test_a_terminal_gets_a_bar(model: Path) -> None:
    code, output = on_terminal(["pull", f"file:{model}"])
    assert code == 0
    assert "━" in output
    last = ESCAPE.sub("", output).replace("\r", "\n").strip().splitlines()
    assert "here" in last[-2] and "2.0/2.0 MB" in last[-2]
    assert last[-1].startswith("/")


def test_a_misspelt_name_is_an_error_with_the_nearest(model: Path) -> None:
    result = piped(["pull", "smollm2-135m"])
    assert result.returncode == 1
    assert result.stderr.startswith(
        "error: Model 'smollm2-135m' is not in the catalog; did you mean 'smollm2-135m-instruct'?\nhint: "
    )


def test_the_list_says_what_is_here_and_what_is_not(model: Path) -> None:
    result = piped(["pull", "--list"])
    assert "smollm2-135m-instruct  chat  Apache-2.0  93 MB to fetch" in result.stdout
    listed = json.loads(piped(["pull", "--list", "--json"]).stdout)
    assert {entry["name"] for entry in listed} >= {"smollm2-135m-instruct", "all-minilm-l6-v2"}
    assert {entry["installed"] for entry in listed} == {None}


def test_an_interrupt_is_no_crash(model: Path, tmp_path: Path) -> None:
    """The pull waits for another process's lock, and so is surely under way when it is interrupted."""
    folder = Path(piped(["pull", f"file:{model}"]).stdout.strip())
    shutil.rmtree(folder)
    with (tmp_path / "cache" / "models" / ".locks" / folder.name).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with subprocess.Popen(
            [sys.executable, "-m", "penstock.cli.main", "pull", f"file:{model}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stderr is not None
            assert process.stderr.readline() == f"{folder.name}: waiting for another process\n"
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (130, "", "\nStopped.\n")
