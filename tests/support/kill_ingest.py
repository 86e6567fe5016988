"""Takes a changing folder in again and again, and kills itself at it at random moments.

    python kill_ingest.py FOLDER KILLS SEED

Each try is a forked process that changes the files by a fixed plan and takes them in, without end. After each
kill the store is opened and checked. What the folder holds after round N depends on N alone.
"""

import asyncio
import os
import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the folder of the tests

from penstock.knowledge.base import KnowledgeBase, KnowledgeOptions, Sources
from penstock.knowledge.chunking import ChunkOptions
from support.hash_embedder import HashEmbedder
from support.knowledge_checks import check_store

FILES = 8
OPTIONS = KnowledgeOptions(chunking=ChunkOptions(tokens=40))
LONGEST = 0.6
"""Seconds until a kill: a few runs, or a part of the first."""


def arrange(docs: Path, number: int) -> None:
    """The folder of a round: some files stay, some change, some come and go."""
    docs.mkdir(parents=True, exist_ok=True)
    for file in range(FILES):
        path = docs / f"{file:02}.txt"
        if file and (file + number) % 5 == 0:
            path.unlink(missing_ok=True)
            continue
        version = number // (1 + file % 3)
        paragraphs = [f"File {file} in version {version} says thing {n} about ropes." for n in range(12)]
        temporary = docs / f".{file:02}"
        temporary.write_text("\n\n".join(paragraphs))
        os.utime(temporary, (1_000_000 + version, 1_000_000 + version))
        temporary.replace(path)


async def take_in_forever(folder: Path) -> None:
    base = KnowledgeBase.open(folder / "knowledge.db", "docs", HashEmbedder(), OPTIONS)
    counter = folder / "round"
    while True:
        number = int(counter.read_text() or 0) + 1 if counter.exists() else 1
        arrange(folder / "docs", number)
        counter.write_text(str(number))
        await base.ingest(Sources(folder / "docs"))


def main(folder: Path, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    KnowledgeBase.open(folder / "elsewhere.db", "docs", HashEmbedder()).close()  # imports what a first open needs
    generations = []
    for _ in range(kills):
        child = os.fork()
        if child == 0:
            asyncio.run(take_in_forever(folder))
        time.sleep(chance.uniform(0.02, LONGEST))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        # A kill within the first milliseconds may come before there is a store.
        generations.append(check_store(folder / "knowledge.db") if has_schema(folder / "knowledge.db") else 0)
    assert generations == sorted(generations), generations
    sys.stdout.write(" ".join(map(str, generations)))


def has_schema(path: Path) -> bool:
    if not path.exists() or not path.stat().st_size:
        return False
    KnowledgeBase.open(path, "docs", HashEmbedder(), OPTIONS).close()
    return True


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
