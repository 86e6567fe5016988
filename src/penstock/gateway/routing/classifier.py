"""A logistic model over cheap features of a text: how likely is it that a small model answers right?

`scripts/train_difficulty.py` makes `difficulty.json` from public answers of a small model, and
`benchmarks/difficulty.py` says how good it is, on subjects that it was not trained on.
"""

from __future__ import annotations

import functools
import math
import re
import zlib
from importlib import resources

import msgspec
from msgspec import Struct

from penstock.exchange import Exchange

BUCKETS = 1024
LOOKED_AT = 4_000
"""Characters at the end of what is asked that are looked at."""

WORD = re.compile(r"[^\W\d_]{2,}")
NUMBER = re.compile(r"\d+(?:\.\d+)?")
SIGNS = re.compile(r"[\\=<>^_{}\[\]|*/+]|[∑∫√≤≥≠π]")


class Model(Struct, frozen=True):
    """`dense` weighs `dense_features`, `words` the words of a text by their hash. `about` says where it is from."""

    bias: float
    dense: tuple[float, ...]
    words: tuple[float, ...]
    about: str


@functools.cache
def shipped() -> Model:
    """The model that comes with Penstock."""
    data = resources.files(__package__).joinpath("difficulty.json").read_bytes()
    return msgspec.json.decode(data, type=Model)


def chance(exchange: Exchange) -> float:
    """The estimated probability, 0 to 1, that a small model answers what is asked last."""
    return probability(shipped(), asked(exchange))


def asked(exchange: Exchange) -> str:
    """The last words of the user, or the prompt."""
    for message in reversed(exchange.messages):
        if message.role == "user":
            return message.text[-LOOKED_AT:]
    return exchange.prompt[-LOOKED_AT:]


def probability(model: Model, text: str) -> float:
    score = model.bias + sum(map(float.__mul__, model.dense, dense_features(text)))
    buckets = word_buckets(text)
    if buckets:
        score += sum(model.words[bucket] for bucket in buckets) / math.sqrt(len(buckets))
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, score))))


def dense_features(text: str) -> tuple[float, ...]:
    """Length, numbers, signs and shape, each of the order of 1."""
    words = WORD.findall(text)
    count = len(words) or 1
    sentences = text.count(". ") + text.count("? ") + text.count("\n") + 1
    return (
        math.log1p(len(text)) / 5.0,
        math.log1p(len(NUMBER.findall(text))),
        math.log1p(len(SIGNS.findall(text))),
        sum(map(len, words)) / count / 5.0,
        count / sentences / 15.0,
        float("?" in text),
        sum(word[0].isupper() for word in words) / count,
        math.log1p(text.count(",")),
    )


def word_buckets(text: str) -> list[int]:
    """The place of each different word among the weights."""
    return [zlib.crc32(word.encode()) % BUCKETS for word in {word.lower() for word in WORD.findall(text)}]
