"""Vectors that lie as those of texts do, in any number, and questions to them.

The sentences and questions of SQuAD 2.0 dev, embedded by MiniLM; then each vector is a sentence moved by a part of
the difference of two sentences that stand near each other. Questions are questions: none is a moved sentence.
(Intrinsic dimension by nearest neighbours: 18 for the sentences themselves, 21 for these: a little harder.)
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np

from penstock.models.encoders.sentence import SentenceEncoder
from penstock.models.pull import pull

DATA = Path(os.environ.get("PENSTOCK_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
AT_ONCE = 50_000
NEIGHBOURS = 40


async def embedded() -> tuple[np.ndarray, np.ndarray]:
    """Sentences and questions, float32 of length 1."""
    articles = json.loads((DATA / "qa" / "squad2-dev.json").read_text(encoding="utf-8"))["data"]
    paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
    sentences = [
        sentence[:400]
        for paragraph in paragraphs
        for sentence in re.split(r"(?<=[.!?])\s+", paragraph["context"])
        if len(sentence) > 40
    ]
    questions = [qa["question"] for paragraph in paragraphs for qa in paragraph["qas"][:1]]
    encoder = SentenceEncoder(pull("all-minilm-l6-v2"))
    await encoder.start()
    try:
        stored = (await encoder.embed(sentences)).vectors
        asked = (await encoder.embed(questions, kind="query")).vectors
    finally:
        await encoder.close()
    return stored, asked


def many(sentences: np.ndarray, count: int) -> np.ndarray:
    """Always the same for the same sentences."""
    chance = np.random.default_rng(0)
    found = np.empty((count, sentences.shape[1]), dtype=np.float32)
    for start in range(0, count, AT_ONCE):
        size = min(AT_ONCE, count - start)
        base, one = chance.integers(len(sentences), size=(2, size))
        other = np.minimum(one + chance.integers(1, NEIGHBOURS, size=size), len(sentences) - 1)
        share = chance.uniform(0.35, 0.84, size=(size, 1)).astype(np.float32)
        moved = sentences[base] + share * (sentences[one] - sentences[other])
        found[start : start + size] = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    return found


def nearest(vectors: np.ndarray, queries: np.ndarray, k: int, allowed: np.ndarray | None = None) -> np.ndarray:
    """The true `k` nearest of each query, in single precision."""
    places = np.arange(len(vectors)) if allowed is None else np.flatnonzero(allowed)
    best = np.zeros((len(queries), 0), dtype=np.int64)
    scores = np.zeros((len(queries), 0), dtype=np.float32)
    for start in range(0, len(places), AT_ONCE):
        at = places[start : start + AT_ONCE]
        piece = queries @ vectors[at].T
        scores = np.concatenate([scores, piece], axis=1)
        best = np.concatenate([best, np.broadcast_to(at, piece.shape)], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        scores, best = np.take_along_axis(scores, order, 1), np.take_along_axis(best, order, 1)
    return best
