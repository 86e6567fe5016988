"""A real Chroma server for tests, in a process and a folder of its own."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

LOOKS = 600
"""A tenth of a second each."""


class ChromaServer:
    """Runs from entry to exit, on a port that was free a moment before."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="penstock-chroma-")
        self.url = ""

    def __enter__(self) -> Self:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        program = str(Path(sys.executable).with_name("chroma"))
        self._process = subprocess.Popen(
            [program, "run", "--host", "127.0.0.1", "--port", str(port), "--path", self._folder.name],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(LOOKS):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
                self.url = f"chroma://127.0.0.1:{port}"
                return self
            with contextlib.suppress(subprocess.TimeoutExpired):
                raise RuntimeError(f"the Chroma server ended with {self._process.wait(0.1)}")
        raise RuntimeError("the Chroma server does not listen")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._folder.cleanup()

    def stop(self) -> None:
        """It goes away; what it kept stays until the exit."""
        self._process.terminate()
        self._process.wait(30)
