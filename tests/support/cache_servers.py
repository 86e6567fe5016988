"""A real Redis and a real Memcached for tests, each in a folder of its own."""

import getpass
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest


class CacheServer:
    """A running server and its address for `[cache] url`."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self.process = process
        self.url = url

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def redis_server(folder: Path) -> Iterator[CacheServer]:
    socket = folder / "redis.sock"
    command = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
    with running(command, socket.exists) as process:
        yield CacheServer(process, f"unix://{socket}")


@contextmanager
def memcached_server(folder: Path) -> Iterator[CacheServer]:
    ports = folder / "ports"
    command = ["memcached", "-l", "127.0.0.1", "-p", "-1", "-U", "0", "-u", getpass.getuser()]
    with running(
        command, lambda: ports.exists() and bool(ports.read_text()), MEMCACHED_PORT_FILENAME=str(ports)
    ) as process:
        port = ports.read_text().split()[-1]
        yield CacheServer(process, f"memcached://127.0.0.1:{port}")


@contextmanager
def running(
    command: Sequence[str], is_ready: Callable[[], bool], **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed: apt-get install redis-server memcached")
    process = subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 10
        while not is_ready():
            assert process.poll() is None and time.monotonic() < deadline, f"{command[0]} did not start"
            time.sleep(0.01)
        yield process
    finally:
        process.kill()
        process.wait()
