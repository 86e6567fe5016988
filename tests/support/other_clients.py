"""Clients that are no part of the development environment, each in a folder of its own in the user's cache.

A test that may not wait for an installation is skipped where there is none, with the command that makes one.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

CLIENTS = Path(os.environ.get("PENSTOCK_CACHE") or Path.home() / ".cache" / "penstock") / "test-clients"
SCRIPTS = Path(__file__).parent / "clients"


@dataclass(frozen=True)
class Client:
    """`packages` are pinned; the folder's name has them, so that others are installed anew."""

    name: str
    packages: tuple[str, ...]

    @property
    def folder(self) -> Path:
        versions = "-".join(package.rpartition("@")[2].rpartition("=")[2] for package in self.packages)
        return CLIENTS / f"{self.name}-{versions}"

    @property
    def done(self) -> Path:
        return self.folder / ".installed"

    def ready(self, commands: Sequence[Sequence[str]], *, install: bool) -> Path:
        """The folder with the packages in it. Skips the test where they are not there and cannot be had."""
        if self.done.exists():
            return self.folder
        said = "; ".join(" ".join(command) for command in commands)
        if not install:
            pytest.skip(f"{self.name} is not installed; `pytest -m slow tests/conformance` does it: {said}")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for command in commands:
            try:
                made = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=400)
            except (OSError, subprocess.TimeoutExpired) as error:
                pytest.skip(f"{self.name} cannot be installed: {error}; {said}")
            if made.returncode:
                pytest.skip(f"{self.name} cannot be installed: {made.stderr[-300:]}; {said}")
        self.done.touch()
        return self.folder


VERCEL = Client("vercel-ai", ("ai@6.0.322", "@ai-sdk/openai-compatible@2.0.87", "zod@4.6.7"))
LLAMA = Client("llama-index", ("llama-index-llms-openai-like==0.8.1", "llama-index-embeddings-openai-like==0.4.0"))


def vercel(*, install: bool) -> list[str]:
    """The command that runs the script of the Vercel AI SDK."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("the Vercel AI SDK needs node: apt-get install nodejs npm")
    folder = VERCEL.ready(
        [["npm", "install", "--no-audit", "--no-fund", "--silent", "--ignore-scripts", *VERCEL.packages]],
        install=install,
    )
    script = folder / "vercel.mjs"  # beside node_modules, where it finds them
    shutil.copyfile(SCRIPTS / "vercel.mjs", script)
    return [node, str(script)]


def llama(*, install: bool) -> list[str]:
    """The command that runs the script of LlamaIndex."""
    python = "environment/bin/python"
    folder = LLAMA.ready(
        [
            [sys.executable, "-m", "venv", "environment"],
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *LLAMA.packages],
        ],
        install=install,
    )
    return [str(folder / python), str(SCRIPTS / "llama.py")]
