"""One process at a time in a data folder; a killed one leaves nothing that is in the way."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.errors import StorageError
from penstock.storage.lock import FolderLock, RunningServer, announced_server

HOLD = """
import sys
from pathlib import Path
from penstock.storage.lock import FolderLock
lock = FolderLock(Path(sys.argv[1])).acquire()
lock.announce("http://127.0.0.1:1")
print("held", flush=True)
sys.stdin.read()
"""


def holder(folder: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_told_who_holds_it(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        with pytest.raises(StorageError, match=f"is in use by process {process.pid}\\. .*kill {process.pid}"):
            FolderLock(tmp_path).acquire()
        assert announced_server(tmp_path) == RunningServer(process.pid, "http://127.0.0.1:1")
        process.kill()


def test_a_killed_process_frees_it_and_its_server_is_not_believed(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (tmp_path / "server.json").exists()
    assert announced_server(tmp_path) is None
    with FolderLock(tmp_path) as lock:
        lock.announce("http://127.0.0.1:2")
        assert announced_server(tmp_path) == RunningServer(os.getpid(), "http://127.0.0.1:2")
    assert announced_server(tmp_path) is None


def test_the_same_process_cannot_take_it_twice_and_can_after_it_let_go(tmp_path: Path) -> None:
    for _ in range(2):
        with FolderLock(tmp_path), pytest.raises(StorageError, match=f"process {os.getpid()}"):
            FolderLock(tmp_path).acquire()


def test_a_child_that_outlives_its_parent_does_not_hold_it(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path).acquire()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False) as child:
        lock.release()
        with FolderLock(tmp_path):
            assert child.poll() is None
        child.kill()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x", "url": 1}', '{"pid": 99999999999999, "url": "x"}'])
def test_a_damaged_announcement_is_no_server(tmp_path: Path, text: str) -> None:
    (tmp_path / "server.json").write_text(text)
    assert announced_server(tmp_path) is None


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"data folder .*gone cannot be used: No such file"):
        FolderLock(tmp_path / "gone").acquire()
