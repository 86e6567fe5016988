"""Each sentence of a composed answer, and the passage that supports it.

A sentence is supported where a passage says about the same (encoder and words) and has every number and every
name of it. The model's own marks are claims to check, not facts: a mark is kept where its passage supports the
sentence; a missing or wrong one is replaced by what does; a sentence that nothing supports is marked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from penstock.knowledge.answering.gate import MARK, marked
from penstock.knowledge.evidence import Sentence, SentenceVectors
from penstock.knowledge.ranking import CAPITAL
from penstock.knowledge.sentences import SentenceSpan, split_sentences
from penstock.knowledge.terms import STOP_WORDS, fold, stem, terms, words

SPACED_MARK = re.compile(rf"\s*{MARK.pattern}")
LEADING_MARKS = re.compile(rf"(?:{SPACED_MARK.pattern})+\s*")
EXACT = re.compile(r"\d[\d.,:]*")

COSINE_WEIGHT = 0.5
SUPPORTED = 0.55
"""Of the mix of cosine and word coverage, 0 to 1, from which a passage supports a sentence."""

FEW_TERMS = 2
"""A sentence with fewer words claims nothing ("Yes."), nor does one with fewer telling words, no number and no name
("So it is.")."""

NEAR = 0.7
"""What a word counts that stands in the sentence before or after, which a pronoun may point to."""

COMPARED = 3
"""Sentences of the passages that are embedded for each sentence of the answer: those with most of its words."""

SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty"
)
TENS = "thirty forty fifty sixty seventy eighty ninety"
DIGITS = (
    {word: str(number) for number, word in enumerate(SMALL.split())}
    | {word: str(number) for number, word in zip(range(30, 100, 10), TENS.split(), strict=True)}
    | {"dozen": "12", "hundred": "100"}
)


class Claim(Struct, frozen=True):
    """A sentence of the answer: its characters, its text without marks, and the passages it names."""

    start: int
    end: int
    text: str
    marks: tuple[int, ...]


class Support(Struct, frozen=True):
    """What supports a claim: a sentence of a passage, and how well."""

    claim: Claim
    sentence: Sentence
    score: float


class Attribution(Struct, frozen=True):
    """The supports of an answer in its order, the claims that nothing supports, and what the encoder read.

    `claims` counts the sentences that claim something: those that have a support, and the unsupported ones.
    """

    supports: tuple[Support, ...] = ()
    unsupported: tuple[Claim, ...] = ()
    tokens: int = 0
    claims: int = 0

    @property
    def grounded(self) -> float | None:
        """The share of the claims that a passage supports; `None` where nothing is claimed."""
        return None if not self.claims else round(1 - len(self.unsupported) / self.claims, 4)

    def __add__(self, other: Attribution) -> Attribution:
        return Attribution(
            self.supports + other.supports,
            self.unsupported + other.unsupported,
            self.tokens + other.tokens,
            self.claims + other.claims,
        )


class _Option(Struct, frozen=True):
    """A sentence that might support a claim, and the share of the claim's words around it."""

    sentence: Sentence
    coverage: float


async def attribute(
    claims: Sequence[Claim], question: str, sentences: Sequence[Sentence], vectors: SentenceVectors
) -> Attribution:
    """Finds the support of each claim among `sentences`; a name that stands in the question needs none."""
    claims = [claim for claim in claims if _claims_something(claim)]
    options = [_options(claim, question, sentences) for claim in claims]
    texts = list(
        dict.fromkeys(
            text
            for claim, found in zip(claims, options, strict=True)
            if found
            for text in (claim.text, *(option.sentence.text for option in found))
        )
    )
    embedded, tokens = await vectors.of(texts)
    by_text = dict(zip(texts, embedded, strict=True))
    supports: list[Support] = []
    unsupported: list[Claim] = []
    for claim, found in zip(claims, options, strict=True):
        scored = [
            Support(claim, option.sentence, mixed(by_text[claim.text], by_text[option.sentence.text], option))
            for option in found
        ]
        chosen = _chosen(claim, [support for support in scored if support.score >= SUPPORTED])
        supports.extend(chosen)
        if not chosen:
            unsupported.append(claim)
    return Attribution(tuple(supports), tuple(unsupported), tokens, len(claims))


def mixed(claim: np.ndarray, sentence: np.ndarray, option: _Option) -> float:
    return COSINE_WEIGHT * float(claim @ sentence) + (1 - COSINE_WEIGHT) * option.coverage


def claims_of(answer: str) -> list[Claim]:
    """The sentences of an answer with the marks that belong to each: those inside it and right behind it."""
    claims: list[Claim] = []
    for span in split_sentences(answer):
        at = span.start
        leading = LEADING_MARKS.match(answer, at, span.end)
        if leading and claims and "\n" not in answer[claims[-1].end : at]:
            before = claims.pop()
            end = at + len(leading.group().rstrip())
            claims.append(Claim(before.start, end, before.text, before.marks + marked(leading.group())))
            at = leading.end()
        if at < span.end:
            claims.append(_claim(answer, SentenceSpan(at, span.end)))
    return claims


def _claim(answer: str, span: SentenceSpan) -> Claim:
    text = answer[span.start : span.end]
    return Claim(span.start, span.end, SPACED_MARK.sub("", text).strip(), marked(text))


def _claims_something(claim: Claim) -> bool:
    if claim.text.endswith(("?", ":")) or len(words(claim.text)) < FEW_TERMS:
        return False
    return bool(_numbers(claim.text) or _names(claim.text)) or len(set(terms(claim.text))) >= FEW_TERMS


def _options(claim: Claim, question: str, sentences: Sequence[Sentence]) -> list[_Option]:
    """The sentences that have the claim's numbers and names nearby, those with most of its words first."""
    asked = set(terms(claim.text))
    numbers, names = _numbers(claim.text), _names(claim.text) - {stem(word) for word in words(question)}
    found = []
    for sentence in sentences:
        hit = sentence.hit
        if not numbers <= _numbers(hit.text) or not names <= sentence.around.passage:
            continue
        near = sentence.around.before | sentence.around.after
        own = set(terms(sentence.text))
        coverage = (len(asked & own) + NEAR * len((asked & near) - own)) / len(asked) if asked else 1.0
        if numbers:
            coverage *= (1 + len(numbers & _numbers(sentence.text)) / len(numbers)) / 2
        found.append(_Option(sentence, coverage))
    named = [option for option in found if option.sentence.number in claim.marks]
    others = [option for option in found if option.sentence.number not in claim.marks]
    return [*_most(named), *_most(others)]


def _most(options: list[_Option]) -> list[_Option]:
    return sorted(options, key=lambda option: -option.coverage)[:COMPARED]


def _chosen(claim: Claim, supports: Sequence[Support]) -> list[Support]:
    """The best support of each passage that the claim rightly names, else the best of all."""
    best: dict[int, Support] = {}
    for support in sorted(supports, key=lambda support: -support.score):
        best.setdefault(support.sentence.number, support)
    named = [best[number] for number in claim.marks if number in best]
    return named or list(best.values())[:1]


def _numbers(text: str) -> set[str]:
    """The numbers of a text as digits, small ones in words among them."""
    plain = fold(text)
    digits = {found.strip(".,:").replace(",", "") for found in EXACT.findall(plain)}
    return digits | {DIGITS[word] for word in words(plain) if word in DIGITS and word != "one"}


def _names(text: str) -> set[str]:
    """The capitalised words of a text as stems, but for those that every sentence may begin with."""
    return {
        stem(word)
        for name in CAPITAL.findall(text)
        for word in words(name)
        if word not in STOP_WORDS and len(word) > 1
    } - _first_word(text)


def _first_word(text: str) -> set[str]:
    """The first word is capitalised anyway, so it is no name unless it is written in capitals."""
    first = re.match(r"\W*([^\W\d_][\w’'-]*)", text)
    return (
        set() if first is None or first.group(1)[1:2].isupper() else {stem(word) for word in words(first.group(1))}
    )
