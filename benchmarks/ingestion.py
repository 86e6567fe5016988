"""Documents taken in: against LlamaIndex and LangChain, again unchanged, and after 10,000 files were renamed.

    python benchmarks/ingestion.py HTML_FOLDER --peers PYTHON [--files 40]
    python benchmarks/ingestion.py --renames 10000

HTML_FOLDER is the HTML documentation of Python (Debian's python3-doc: /usr/share/doc/python3/html). PYTHON is that
of an environment with the peers, each with the same MiniLM through sentence-transformers:

    pip install torch==2.13.0 sentence-transformers llama-index-core llama-index-embeddings-huggingface \\
        llama-index-readers-file langchain-community langchain-huggingface langchain-chroma beautifulsoup4

Each is a process of its own, in turn; memory is that of the process and all its children, added up, at its highest.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
from support.memory import Peak

from penstock.knowledge.base import KnowledgeBase, Sources
from penstock.models.encoders.sentence import SentenceEncoder
from penstock.models.pull import pull
from penstock.testing import FakeEmbedder

MODEL = "all-minilm-l6-v2"
PEER = Path(__file__).parent / "support" / "ingestion_peer.py"
MB = 1e6
LONG_AGO = 1_000_000_000


class Measured(msgspec.Struct, frozen=True):
    """One way to take the files in. Seconds include what it takes to start; memory is in bytes."""

    name: str
    seconds: float
    chunks: int
    memory: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("html", nargs="?", type=Path)
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--peers", metavar="PYTHON", type=Path)
    parser.add_argument("--renames", type=int, metavar="N")
    parser.add_argument("--own", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.own:
        sys.stdout.write(json.dumps(asyncio.run(take_in(given.own))) + "\n")
    elif given.renames:
        asyncio.run(rename(given.renames))
    else:
        compare(given.html, given.files, given.peers)


def compare(html: Path, count: int, peers: Path | None) -> None:
    files = random.Random(7).sample(sorted(html.rglob("*.html")), count)
    with tempfile.TemporaryDirectory() as name:
        docs = Path(name) / "docs"
        for number, file in enumerate(files):
            target = docs / f"{number:03}-{file.name}"
            target.parent.mkdir(exist_ok=True)
            shutil.copy(file, target)
            os.utime(target, (LONG_AGO, LONG_AGO))
        size = sum(file.stat().st_size for file in docs.iterdir())
        print(f"{count} files, {size / MB:.1f} MB")
        model = pull(MODEL)
        ours, again = own(docs)
        found = [ours]
        for peer in ("llamaindex", "langchain") if peers else ():
            found.append(measured(peer, [str(peers), str(PEER), peer, str(docs), str(model)]))
        for each in found:
            print(
                f"{each.name:<12} {count / each.seconds:6.2f} documents/s"
                f" {each.chunks / each.seconds:7.1f} chunks/s {each.chunks:6,} chunks"
                f" {each.memory / MB:7.0f} MB peak"
            )
        for each in found[1:]:
            print(
                f"penstock against {each.name}: {each.seconds / ours.seconds:.1f} × the documents/s,"
                f" {ours.memory / each.memory:.2f} of the memory"
            )
        print(f"unchanged: {again:.3f} s, {again / ours.seconds:.2%} of the first time")


def own(docs: Path) -> tuple[Measured, float]:
    """Penstock in a process of its own, and how long a second run takes in it."""
    command = [sys.executable, __file__, "--own", str(docs)]
    with Peak() as peak:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        output = peak.watch(child)
    said = json.loads(output.splitlines()[-1])
    return Measured("penstock", said["seconds"], said["chunks"], peak.bytes), said["again"]


def measured(name: str, command: list[str]) -> Measured:
    with Peak() as peak:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        output = peak.watch(child)
    said = json.loads(output.splitlines()[-1])
    return Measured(name, said["seconds"], said["chunks"], peak.bytes)


async def take_in(docs: Path) -> dict[str, float]:
    """What the child of `own` does. The peers' time begins after their imports, with their model; so does ours."""
    encoder = SentenceEncoder(pull(MODEL))
    started = time.perf_counter()
    place = docs.parent / "data" / "k.db"
    base, _ = await asyncio.gather(asyncio.to_thread(KnowledgeBase.open, place, "docs", encoder), encoder.start())
    summary = await base.ingest(Sources(docs))
    seconds = time.perf_counter() - started
    started = time.perf_counter()
    unchanged = await base.ingest(Sources(docs))
    again = time.perf_counter() - started
    assert unchanged.unchanged == sum(summary.statuses.values())
    base.close()
    await encoder.close()
    return {"seconds": seconds, "chunks": summary.chunks, "again": again}


async def rename(count: int) -> None:
    """Files of 2 kB, all renamed, then all touched: how long a run over them takes, and what it embeds."""
    with tempfile.TemporaryDirectory() as name:
        docs = Path(name) / "docs"
        for number in range(count):
            path = docs / f"{number % 100:02}" / f"{number}.md"
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = [f"Document {number} says thing {n} about ropes, knots and the harbour. " for n in range(28)]
            path.write_text(f"# Document {number}\n\n" + "\n\n".join(lines))
            os.utime(path, (LONG_AGO, LONG_AGO))
        base = KnowledgeBase.open(Path(name) / "k.db", "docs", FakeEmbedder())
        await timed(base, docs, "taken in")
        await timed(base, docs, "unchanged")
        for number in range(count):
            path = docs / f"{number % 100:02}" / f"{number}.md"
            path.rename(path.with_name(f"moved-{number}.md"))
        await timed(base, docs, "renamed")
        for path in docs.rglob("*.md"):
            os.utime(path, (LONG_AGO + 10, LONG_AGO + 10))
        await timed(base, docs, "touched")
        base.close()


async def timed(base: KnowledgeBase, docs: Path, what: str) -> None:
    from penstock.knowledge.ingestion.records import RunRules

    started = time.perf_counter()
    summary = await base.ingest(Sources(docs), rules=RunRules(allow_delete=True))
    seconds = time.perf_counter() - started
    print(
        f"{sum(summary.statuses.values()):,} files {what}: {seconds:.2f} s, {summary.chunks:,} passages written,"
        f" {summary.embedded:,} embedded"
    )


if __name__ == "__main__":
    main()
