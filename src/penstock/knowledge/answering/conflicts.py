"""Passages that answer a question differently: found by what they say of the same, and what differs in it.

Two sentences disagree where both are about what is asked, say nearly the same words, and have other numbers of the
same thing, other dates or other names in the place where the question asks for one. What is not asked for may
differ. Everything is compared by words, so that the same passages always give the same verdict.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise

from msgspec import Struct

from penstock.exchange import Conflict
from penstock.knowledge.answering.attribution import DIGITS
from penstock.knowledge.answering.citations import Quotation, quoted
from penstock.knowledge.evidence import Evidence, Ranked
from penstock.knowledge.filters import Value
from penstock.knowledge.question import Question
from penstock.knowledge.ranking import CAPITAL, MONTHS
from penstock.knowledge.terms import STOP_WORDS, fold, stem, terms, words

LOOKED_AT = 6
"""Sentences that are compared: the best ones."""

ABOUT = 0.6
"""The least share of the question's words that both must hold, with the sentence before."""

ALIKE = 0.5
"""The least share of their other words that two sentences must have in common, of the shorter one."""

NEARLY_SAME = 0.5
"""The least share of the words of both that two sentences must have in common where no value is asked for."""

YEAR = re.compile(r"\b(?:1\d{3}|20\d{2})\b")
DATED = ("date", "modified", "updated", "published", "created", "last_modified", "lastmod")
"""Metadata that says how new a document is, the most telling first."""


class Said(Struct, frozen=True):
    """A number, date or name as a sentence has it, and as it is compared."""

    text: str
    plain: str


class Side(Struct, frozen=True):
    """What a sentence says of what is asked."""

    value: str
    ranked: Ranked


def disagreement(evidence: Evidence) -> tuple[Side, ...]:
    """What the best sentences say of what is asked where they disagree, the newest first; none where they agree."""
    question = evidence.question
    best = [ranked for ranked in evidence.ranked[:LOOKED_AT] if about(ranked)]
    if len(best) < 2:
        return ()
    first, *others = best
    said = values_of(question, first.sentence.text)
    sides: dict[str, Side] = {}
    what = ""
    for other in others:
        if other.sentence.hit.chunk_id == first.sentence.hit.chunk_id or not alike(question, first, other):
            continue
        values = values_of(question, other.sentence.text)
        what = what or next(
            (unit for unit in said if unit in values and values[unit].plain != said[unit].plain), ""
        )
        if what in values and values[what].plain != said[what].plain:
            sides.setdefault(said[what].plain, Side(said[what].text, first))
            sides.setdefault(values[what].plain, Side(values[what].text, other))
    return tuple(sorted(sides.values(), key=lambda side: age(side.ranked)))


def conflicts_of(sides: Sequence[Side], quotations: Sequence[Quotation]) -> tuple[Conflict, ...]:
    """The disagreement under the numbers of verified quotations; none where fewer than two could be verified."""
    numbers = {each.place: each.number for each in quotations}
    placed = [(side.value, numbers.get(quoted(side.ranked).place)) for side in sides]
    known = [(value, number) for value, number in placed if number is not None]
    if len({number for _, number in known}) < 2:
        return ()
    return (Conflict(tuple(value for value, _ in known), tuple(number for _, number in known)),)


def about(ranked: Ranked) -> bool:
    return ranked.measures.coverage + ranked.measures.before >= ABOUT


def alike(question: Question, one: Ranked, other: Ranked) -> bool:
    """Whether two sentences make the same claim: the same telling words, numbers aside.

    Where the question does not say that it asks for a number, a date or a person, they must be nearly the same:
    what differs is else beside the point.
    """
    first, second = (claim_words(each.sentence.text) for each in (one, other))
    shared = len(first & second)
    if question.kind in ("other", "reason"):
        return shared >= 2 and shared >= NEARLY_SAME * len(first | second)
    return shared >= 2 and shared >= ALIKE * min(len(first), len(second))


def claim_words(text: str) -> set[str]:
    return {term for term in terms(text) if not term[0].isdigit() and term not in NUMBER_STEMS}


def values_of(question: Question, text: str) -> Mapping[str, Said]:
    """What a sentence says of what is asked: by unit or kind, the one value of it.

    Of a kind that stands there twice nothing is said: which of the two is meant cannot be told.
    """
    if question.kind == "date":
        found = [("year", Said(year, year)) for year in YEAR.findall(text)]
        found += [("day", Said(day, day)) for day in days(text)]
    elif question.kind == "person":
        found = [("name", Said(name, fold(name))) for name in names(question, text)]
    else:
        found = list(quantities(text))
    counted: dict[str, dict[str, Said]] = {}
    for unit, said in found:
        if not set(words(said.text)) <= question.words:
            counted.setdefault(unit, {}).setdefault(said.plain, said)
    return {unit: next(iter(values.values())) for unit, values in counted.items() if len(values) == 1}


def quantities(text: str) -> Iterator[tuple[str, Said]]:
    """Numbers with the word behind them: ("day", "30 days")."""
    spoken = re.findall(r"\d[\d.,]*\d|\d+|[^\W\d_]+|%", text)
    for at, word in enumerate(spoken[:-1]):
        digits = word.replace(",", "") if word[0].isdigit() else DIGITS.get(fold(word), "")
        if not digits or fold(word) == "one" or YEAR.fullmatch(word):
            continue
        unit = next((each for each in spoken[at + 1 : at + 3] if fold(each) not in STOP_WORDS), "")
        if unit and not unit[0].isdigit():
            yield stem(fold(unit)), Said(f"{word}%" if unit == "%" else f"{word} {unit}", digits)


def days(text: str) -> list[str]:
    """Days of a month: "3 May"."""
    pairs = [*pairwise(words(text))]
    dated = [*pairs, *((second, first) for first, second in pairs)]
    return [f"{day} {month}" for day, month in dated if month in MONTHS and day.isdigit() and int(day) <= 31]


def names(question: Question, text: str) -> list[str]:
    """Runs of capitalised words that are not in the question, the first word of the sentence aside."""
    runs: list[str] = []
    end = -2
    for match in CAPITAL.finditer(text):
        if match.start() == 0 or fold(match.group()) in question.words:
            continue
        if match.start() == end + 1:
            runs[-1] += f" {match.group()}"
        else:
            runs.append(match.group())
        end = match.end()
    return runs


def age(ranked: Ranked) -> float:
    """Sorts the newest first, and what has no date behind what has one."""
    metadata = ranked.sentence.hit.metadata
    for name in DATED:
        if (moment := moment_of(metadata.get(name))) is not None:
            return -moment
    return 0.0


def moment_of(value: Value | None) -> float | None:
    """A date of metadata as seconds since 1970: an ISO date or time, or a year."""
    if isinstance(value, bool) or value is None:
        return None
    text = str(value)
    try:
        if re.fullmatch(r"\d{4}", text):
            text += "-01-01"
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found.replace(tzinfo=None) - datetime(1970, 1, 1)).total_seconds()  # noqa: DTZ001


NUMBER_STEMS = frozenset(stem(word) for word in DIGITS)
