"""Do questions that mean the same end up in one gap?

Utterances of people with the intent they had (CLINC150, CC-BY-3.0): the bound of `knowledge/gaps/clusters.py` is
chosen on half of the intents, and the figures are of the other half. The adjusted Rand index is 1 where the groups
are the intents and about 0 where they are random (Hubert and Arabie 1985).

    python benchmarks/gaps.py            # chooses, then measures
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections import Counter
from math import comb

import msgspec
import numpy as np
from numpy.typing import NDArray
from support.questions import DATA

from penstock.knowledge.gaps.clusters import NEAR, Groups
from penstock.models.encoders.sentence import SentenceEncoder
from penstock.models.pull import pull

EACH = 20
BOUNDS = [0.4, 0.45, 0.48, 0.5, 0.52, 0.55, 0.6, 0.65, 0.7, 0.8]


def adjusted_rand(one: list[int], other: list[int]) -> float:
    pairs = Counter(zip(one, other, strict=True))
    both = sum(comb(count, 2) for count in pairs.values())
    first = sum(comb(count, 2) for count in Counter(one).values())
    second = sum(comb(count, 2) for count in Counter(other).values())
    expected = first * second / comb(len(one), 2)
    return (both - expected) / ((first + second) / 2 - expected)


def grouped(vectors: NDArray[np.float32], bound: float) -> list[int]:
    groups = Groups([], bound)
    labels = []
    for vector in vectors:
        group = groups.nearest(vector)
        if group is None:
            group = groups.begin(str(len(labels)), vector)
        else:
            group.add(vector)
        labels.append(int(group.id))
    return labels


async def run(data: dict[str, list[list[str]]]) -> None:
    by_intent: dict[str, list[str]] = {}
    for text, intent in data["train"]:
        by_intent.setdefault(intent, []).append(text)
    intents = sorted(by_intent)
    random.Random(0).shuffle(intents)
    encoder = SentenceEncoder(pull("all-minilm-l6-v2"))
    await encoder.start()
    try:
        halves = []
        for half in (intents[: len(intents) // 2], intents[len(intents) // 2 :]):
            asked = [(text, number) for number, intent in enumerate(half) for text in by_intent[intent][:EACH]]
            random.Random(1).shuffle(asked)
            embedded = await encoder.embed([text for text, _ in asked])
            halves.append((embedded.vectors, [number for _, number in asked]))
    finally:
        await encoder.close()
    print(f"{len(halves[0][1]):,} utterances of {len(intents) // 2} intents to choose by, as many to measure")
    print("bound   adjusted Rand, chosen by   groups   measured   groups")
    for bound in BOUNDS:
        figures = []
        for vectors, own in halves:
            labels = grouped(vectors, bound)
            figures += [f"{adjusted_rand(labels, own):10.3f} {len(set(labels)):8d}"]
        print(f"{bound:5.2f} {figures[0]:>30} {figures[1]}{'   <- in use' if bound == NEAR else ''}")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    asyncio.run(run(msgspec.json.decode((DATA / "intents" / "clinc_full.json").read_bytes())))
