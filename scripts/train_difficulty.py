"""Trains `gateway/routing/difficulty.json`: from a question's text, how likely a small model answers it right.

    git clone https://github.com/lm-sys/RouteLLM
    python scripts/train_difficulty.py RouteLLM/routellm/evals

The labels are RouteLLM's (Apache-2.0): whether Mixtral-8x7B answered each question of MMLU and of GSM8K's test set
right. Half of MMLU's subjects and half of GSM8K are trained on; `benchmarks/difficulty.py` judges by the others and
by MT-Bench. Choices of an answer are taken off, so that the model learns from what is asked and not from its form.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
import zlib
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.gateway.routing import classifier

SMALL = "mistralai/Mixtral-8x7B-Instruct-v0.1"
STRONG = "gpt-4-1106-preview"
TARGET = Path(classifier.__file__).with_name("difficulty.json")
PENALTY = 15.0
"""Weight decay of the words' weights, chosen by cross-validation over the subjects that are trained on."""

csv.field_size_limit(sys.maxsize)


class Question(msgspec.Struct, frozen=True):
    text: str
    subject: str
    small: bool
    strong: bool

    @property
    def held_out(self) -> bool:
        """Whole subjects of MMLU, and every second question of GSM8K."""
        key = self.text if self.subject == "gsm8k" else self.subject
        return zlib.crc32(key.encode()) % 2 == 1


def questions(folder: Path) -> list[Question]:
    files = [*sorted((folder / "mmlu" / "responses").glob("*.csv")), folder / "gsm8k" / "gsm8k_responses.csv"]
    found = []
    for file in files:
        subject = file.stem.removeprefix("mmlu_").removesuffix("_responses")
        with file.open(newline="") as lines:
            for row in csv.DictReader(lines):
                text = re.sub(r"(?m)^(?:[A-D]\..*|Answer:)\n?", "", row["prompt"]).strip()
                found.append(Question(text, subject, row[SMALL] == "True", row[STRONG] == "True"))
    return found


def matrix(texts: list[str]) -> NDArray[np.float64]:
    """One row per text: the dense features, then the share of its words in each bucket."""
    dense = np.array([classifier.dense_features(text) for text in texts])
    words = np.zeros((len(texts), classifier.BUCKETS))
    for row, text in zip(words, texts, strict=True):
        buckets = classifier.word_buckets(text)
        np.add.at(row, buckets, 1 / np.sqrt(max(1, len(buckets))))
    return np.hstack([dense, words])


def fit(rows: NDArray[np.float64], labels: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
    """Weights of a logistic regression with weight decay, the bias last, by Newton's method."""
    rows = np.hstack([rows, np.ones((len(rows), 1))])
    decay = np.full(rows.shape[1], penalty)
    decay[: rows.shape[1] - classifier.BUCKETS - 1] = 0.1
    decay[-1] = 0.0
    weights = np.zeros(rows.shape[1])
    for _ in range(12):
        chances = 1 / (1 + np.exp(-(rows @ weights)))
        gradient = rows.T @ (chances - labels) + decay * weights
        curvature = (rows.T * (chances * (1 - chances))) @ rows + np.diag(decay)
        weights -= np.linalg.solve(curvature, gradient)
    return weights


def model_of(weights: NDArray[np.float64], about: str) -> classifier.Model:
    rounded = [round(float(weight), 4) for weight in weights]
    dense = len(rounded) - 1 - classifier.BUCKETS
    return classifier.Model(rounded[-1], tuple(rounded[:dense]), tuple(rounded[dense:-1]), about)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="routellm/evals of a checkout of RouteLLM")
    kept = [each for each in questions(parser.parse_args().folder) if not each.held_out]
    labels = np.array([float(each.small) for each in kept])
    weights = fit(matrix([each.text for each in kept]), labels, PENALTY)
    about = f"Mixtral-8x7B right or wrong on {len(kept)} questions of MMLU and GSM8K (RouteLLM, Apache-2.0)"
    TARGET.write_bytes(msgspec.json.encode(model_of(weights, about)))
    print(f"{TARGET.name}: {TARGET.stat().st_size} bytes, {about}; {labels.mean():.1%} right")  # noqa: T201


if __name__ == "__main__":
    main()
