"""Answers that consist of quotes alone: what the model may write, as a grammar or a schema, and how it is read.

    “It is 221 metres high” [2] “It was finished in 1936.” [2]

A quote begins where a sentence or one of its clauses begins and ends where one ends, so that the grammar is as
long as the sentences themselves. A model that takes grammars chooses with its first token whether the documents
answer at all; one that takes only schemas chooses among the sentences, and none means that they do not say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Struct

from penstock.constraints.ebnf import literal
from penstock.exchange import Constraint
from penstock.knowledge.answering.citations import Quotation
from penstock.knowledge.evidence import Evidence, Sentence, candidates_of
from penstock.knowledge.terms import words
from penstock.knowledge.values import Hit

MOST_QUOTES = 3
MOST_SENTENCES = 16
MOST_CHARACTERS = 4_000
"""Of the sentences that may be quoted: a grammar of as many compiles in tens of milliseconds."""

CLAUSE = re.compile(r"(?<=[,;:])\s+|\s+(?=\()|(?<=\))\s+|\s*[—–]\s*|\s+-\s+")
FEWEST_WORDS = 3
"""Of a clause that may begin or end a quote."""

QUOTE = re.compile(r"\s*“(.*?)” \[(\d{1,2})\]", re.DOTALL)


class Clause(Struct, frozen=True):
    """Characters of a sentence; `text` without the mark that divides it from the next one."""

    start: int
    end: int


def quotable(evidence: Evidence, passages: Sequence[Hit], most: int = MOST_SENTENCES) -> tuple[Sentence, ...]:
    """The sentences that may be quoted, the likeliest first, at most so many and as far as a grammar reaches."""
    best = [ranked.sentence for ranked in evidence.ranked if ranked.sentence.at < len(passages)]
    known = {(sentence.at, sentence.start) for sentence in best}
    others = [each for each in candidates_of(passages) if (each.at, each.start) not in known]
    chosen: list[Sentence] = []
    left = MOST_CHARACTERS
    for sentence in [*best, *others][:most]:
        left -= len(sentence.text)
        if chosen and left < 0:
            break
        chosen.append(sentence)
    return tuple(chosen)


def quote_grammar(sentences: Sequence[Sentence], unanswered: str) -> Constraint:
    """One to `MOST_QUOTES` quotes, or `unanswered`; "" leaves the model no choice but to quote."""
    otherwise = f"{literal(unanswered)} | " if unanswered else ""
    rules = [f'root ::= {otherwise}quote (" " quote){{0,{MOST_QUOTES - 1}}}']
    starts: list[str] = []
    for number, sentence in enumerate(sentences):
        clauses = clauses_of(sentence.text)
        close = literal(f"” [{sentence.number}]")
        for at in range(len(clauses) - 1, -1, -1):
            name = f"s{number}c{at}"
            starts.append(name)
            text = sentence.text[clauses[at].start : clauses[at].end]
            if at + 1 < len(clauses):
                gap = sentence.text[clauses[at].end : clauses[at + 1].start]
                rules.append(f"{name} ::= {literal(text)} ({close} | {literal(gap)} s{number}c{at + 1})")
            else:
                rest = sentence.text[clauses[at].end :]
                end = f"({close} | {literal(rest)} {close})" if rest else close
                rules.append(f"{name} ::= {literal(text)} {end}")
    rules.append(f'quote ::= "\\u201c" ({" | ".join(sorted(starts))})')
    return Constraint("ebnf", "".join(f"{rule}\n" for rule in rules))


def quote_schema(sentences: Sequence[Sentence]) -> Constraint:
    """A list of sentences, for models that take no grammars."""
    texts = list(dict.fromkeys(sentence.text for sentence in sentences))
    schema = {
        "type": "object",
        "properties": {"quotes": {"type": "array", "items": {"type": "string", "enum": texts}}},
        "required": ["quotes"],
        "additionalProperties": False,
    }
    return Constraint(
        "json_schema",
        json.dumps(schema, ensure_ascii=False),
        name="quotes",
        description="The sentences that answer the question, the best first; none where no sentence answers it.",
        strict=True,
    )


def clauses_of(sentence: str) -> list[Clause]:
    """The clauses of a sentence that are long enough to stand alone, joined to the next where they are not."""
    cuts = [(match.start(), match.end()) for match in CLAUSE.finditer(sentence)]
    clauses: list[Clause] = []
    start = 0
    for low, high in [*cuts, (len(sentence), len(sentence))]:
        end = start + len(sentence[start:low].rstrip(" ,;:.!?"))
        if low < len(sentence) and len(words(sentence[start:low])) < FEWEST_WORDS:
            continue
        if end > start:
            clauses.append(Clause(start, end))
        start = high
    if len(clauses) > 1 and len(words(sentence[clauses[-1].start :])) < FEWEST_WORDS:
        last = clauses.pop()
        clauses[-1] = Clause(clauses[-1].start, last.end)
    return clauses or [Clause(0, len(sentence))]


class QuoteReader:
    """Reads the quotes of an answer as each is whole. What is not a quote from its passage is left out.

    `listed` answers are those under `quote_schema`, whose quotes are read at the end.
    """

    def __init__(self, sentences: Sequence[Sentence], *, listed: bool) -> None:
        self._sentences = sentences
        self._listed = listed
        self._held = ""
        self.unreadable = False

    def feed(self, text: str) -> Iterator[Quotation]:
        """The quotes that are whole with this text."""
        self._held += text
        while not self._listed and (whole := QUOTE.match(self._held)):
            self._held = self._held[whole.end() :]
            yield from self._found(whole.group(1), int(whole.group(2)))

    def end(self) -> Iterator[Quotation]:
        """The quotes that are whole only now; none of a list that broke off before its end."""
        if not self._listed:
            return
        try:
            quotes = msgspec.json.decode(self._held, type=Quotes).quotes
        except msgspec.DecodeError:
            self.unreadable = True
            return
        for text in quotes[:MOST_QUOTES]:
            yield from self._found(text, None)

    def _found(self, text: str, number: int | None) -> Iterator[Quotation]:
        """The quotation, from passage `number` where that is said; nothing where the text is not there."""
        for sentence in self._sentences:
            at = sentence.text.find(text) if text and number in (None, sentence.number) else -1
            if at >= 0:
                start = sentence.start + at
                part = msgspec.structs.replace(sentence, start=start, end=start + len(text), text=text)
                yield Quotation(sentence=part, number=sentence.number, score=1.0)
                return


class Quotes(Struct, frozen=True):
    """What a model under `quote_schema` writes."""

    quotes: tuple[str, ...]
