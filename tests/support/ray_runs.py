"""The same documents taken in by child processes, on a Ray cluster of its own, and on one reached by its address.

    unshare --map-root-user --net python tests/support/ray_runs.py DOCS WORK ENCODER

Prints the three contents' digests as JSON. Ray listens on every address that there is, so it gets a network with
loopback alone.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from sqlalchemy import text

from penstock.clock import SYSTEM_CLOCK
from penstock.knowledge.base import Backends, BaseSettings, KnowledgeBase, Sources
from penstock.knowledge.executors.base import ExecutorFactory
from penstock.knowledge.executors.process import ProcessExecutor
from penstock.knowledge.executors.ray import RayExecutor, RaySettings
from penstock.knowledge.stores.sqlite import SqliteStore
from penstock.knowledge.values import KnowledgeOptions
from penstock.models.encoders.sentence import SentenceEncoder

SIOCSIFFLAGS, UP_AND_RUNNING = 0x8914, 0x41


def raise_loopback() -> None:
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh", b"lo", UP_AND_RUNNING))


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """A cluster of one node in processes of its own; its address."""
    program = str(Path(sys.executable).with_name("ray"))
    options = ["--head", "--block", "--port=0", "--include-dashboard=false", "--num-cpus=2"]
    command = [program, "start", *options, f"--temp-dir={folder}", "--disable-usage-stats"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    said = ""
    try:
        for line in process.stdout:
            said += line
            if found := re.search(r"--address='([\d.]+:\d+)'", line):
                yield found[1]
                return
        raise RuntimeError(f"no cluster: {said}")
    finally:
        process.terminate()
        process.wait(60)


async def digest(path: Path, docs: Path, encoder: SentenceEncoder, executor: ExecutorFactory) -> str:
    """Of every document and every passage with its vector, without row numbers and times."""
    settings = BaseSettings(KnowledgeOptions(), path / "uploads", SYSTEM_CLOCK, Backends(executor))
    base = KnowledgeBase("docs", SqliteStore(path / "knowledge.db"), encoder, settings)
    try:
        await base.ingest(Sources(docs))
        with base._store.database.read() as connection:
            documents = connection.execute(
                text("SELECT path, title, status, reason, digest, size, chunks FROM document ORDER BY path")
            ).all()
            chunks = connection.execute(
                text(
                    'SELECT d.path, c.start, c."end", c.text, c.heading, e.vector FROM chunk c JOIN document d'
                    " ON d.row = c.document_row JOIN embedding e ON e.digest = c.digest ORDER BY d.path, c.start"
                )
            ).all()
        assert documents and chunks
        return hashlib.sha256(repr((documents, chunks)).encode()).hexdigest()
    finally:
        base.close()


async def compare(docs: Path, work: Path, model: Path) -> dict[str, str]:
    encoder = SentenceEncoder(model)
    await encoder.start()
    try:
        found = {"processes": await digest(made(work / "here"), docs, encoder, ProcessExecutor)}
        own = RaySettings(readers=2, encoders=1)
        found["own"] = await digest(made(work / "own"), docs, encoder, partial(RayExecutor, settings=own))
        with cluster(made(work / "ray")) as address:
            other = partial(RayExecutor, settings=RaySettings(address=address))
            found["address"] = await digest(made(work / "there"), docs, encoder, other)
        return found
    finally:
        await encoder.close()


def made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


if __name__ == "__main__":
    raise_loopback()
    sys.stdout.write(json.dumps(asyncio.run(compare(*map(Path, sys.argv[1:4])))) + "\n")
