"""How well the shipped classifier tells which questions a small model answers right.

It is judged by what it was not trained on: the other half of MMLU's subjects, the other half of GSM8K, and
MT-Bench, whose open questions it was never meant for. For each threshold: the share of questions that go to the
small model, how many of all are then answered right, and how many would be if the same share went by chance.

    git clone https://github.com/lm-sys/RouteLLM
    python benchmarks/difficulty.py RouteLLM/routellm/evals
"""

from __future__ import annotations

import argparse
import json
import sys
import timeit
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from penstock.exchange import Exchange, Message
from penstock.gateway.routing import classifier

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

from train_difficulty import SMALL, Question, questions

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
GOOD = 8
"""The least mark of ten, given by GPT-4, at which an answer of MT-Bench counts as right."""


def chances(texts: list[str]) -> NDArray[np.float64]:
    model = classifier.shipped()
    return np.array([classifier.probability(model, text[-classifier.LOOKED_AT :]) for text in texts])


def auc(chance: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """The probability that a question answered right has a higher chance than one that was not."""
    ranks = np.empty(len(chance))
    ranks[np.argsort(chance, kind="stable")] = np.arange(1, len(chance) + 1)
    positive = int(right.sum())
    return float((ranks[right].sum() - positive * (positive + 1) / 2) / (positive * (len(right) - positive)))


def table(name: str, kept: list[Question]) -> None:
    chance = chances([each.text for each in kept])
    small = np.array([each.small for each in kept])
    strong = np.array([each.strong for each in kept])
    print(f"\n{name}: {len(kept)} questions; AUC {auc(chance, small):.3f}")
    print(f"right: small {small.mean():.1%}, strong {strong.mean():.1%}; mean chance {chance.mean():.1%}")
    print("threshold  to the small one  right of those  right of all  by chance")
    for threshold in THRESHOLDS:
        easy = chance >= threshold
        share = easy.mean()
        mixed = np.where(easy, small, strong).mean()
        by_chance = share * small.mean() + (1 - share) * strong.mean()
        right = small[easy].mean() if easy.any() else float("nan")
        print(f"{threshold:>9.1f}  {share:>16.1%}  {right:>14.1%}  {mixed:>12.1%}  {by_chance:>9.1%}")


def mt_bench(folder: Path) -> list[Question]:
    """The first turn of each question, right where its answer got a good mark."""
    marks: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in (folder / "mt_bench" / "judgements.jsonl").read_text().splitlines():
        mark = json.loads(line)
        if mark["turn"] == 1 and mark["score"] >= 0:
            marks[mark["model"].lower()][mark["question_id"]].append(mark["score"])
    small = next(marks[name] for name in marks if name in SMALL.lower() or "mixtral" in name)
    strong = next(marks[name] for name in marks if "gpt-4" in name)
    found = []
    for line in (folder / "mt_bench" / "question.jsonl").read_text().splitlines():
        question = json.loads(line)
        number = question["question_id"]
        if number in small and number in strong:
            right = [float(np.mean(each[number])) >= GOOD for each in (small, strong)]
            found.append(Question(question["turns"][0], question["category"], *right))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="routellm/evals of a checkout of RouteLLM")
    folder = parser.parse_args().folder
    print(classifier.shipped().about)
    held_out = [each for each in questions(folder) if each.held_out]
    table("MMLU, subjects it has not seen", [each for each in held_out if each.subject != "gsm8k"])
    table("GSM8K, the other half", [each for each in held_out if each.subject == "gsm8k"])
    table("both", held_out)
    table("MT-Bench, first turns", mt_bench(folder))
    exchange = Exchange(id="a", trace_id="b", messages=(Message("user", held_out[0].text),))
    seconds = timeit.timeit(lambda: classifier.chance(exchange), number=2000) / 2000
    print(f"\n{seconds * 1e6:.0f} µs for a question of {len(held_out[0].text)} characters")


if __name__ == "__main__":
    main()
