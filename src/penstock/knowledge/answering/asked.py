"""A question with what was found for it, and what its answer says before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from penstock.errors import ContextLengthExceeded, InvalidRequest
from penstock.exchange import AnswerMode, Conflict, Exchange, Grounding, Usage
from penstock.knowledge.answering.citations import Quotation, citation
from penstock.knowledge.evidence import Evidence
from penstock.knowledge.question import condense
from penstock.knowledge.readers import reader_of
from penstock.knowledge.values import Reader

NOT_SAID = "The documents do not say."
DISAGREE = "The documents do not agree:"
NO_MODEL = Usage(input=0, output=0)

LONGEST_QUESTION = 8_000
"""Characters; the encoder reads the first few hundred words of a question anyway."""

Stage = Literal["evidence", "partial", "answer"]


class Asked(Struct, frozen=True, kw_only=True):
    """What every chunk of an answer needs to know. `quotations` are the verified ones that are sent first."""

    exchange: Exchange
    knowledge: str
    mode: AnswerMode
    evidence: Evidence
    generation: int
    answered: bool
    quotations: tuple[Quotation, ...] = ()
    conflicts: tuple[Conflict, ...] = ()

    @property
    def reader(self) -> Reader:
        """Who asks, as a reader of the documents."""
        return reader_of(self.exchange.principal)

    def grounding(self, stage: Stage, quotations: Sequence[Quotation]) -> Grounding:
        """What is known at this point; `quotations` were verified."""
        return Grounding(
            stage=stage,
            mode=self.mode,
            knowledge=self.knowledge,
            generation=self.generation,
            answered=self.answered,
            score=round(self.evidence.probability, 4),
            citations=tuple(citation(self.knowledge, each) for each in quotations),
            conflicts=self.conflicts,
        )

    def ended(self, cited: Sequence[Quotation]) -> Grounding:
        """What the whole answer stands on: its preface, what it cites, then the evidence that it did not use."""
        used = {each.place for each in cited}
        unused = [each for each in self.quotations if each.place not in used]
        return self.grounding("answer", [*self.prefaced(), *cited, *unused])

    @property
    def preface(self) -> str:
        """That the documents disagree, where they do: what each says, with its mark."""
        return "".join(f"{DISAGREE} {', '.join(sides_of(conflict))}.\n\n" for conflict in self.conflicts)

    def prefaced(self) -> list[Quotation]:
        """The quotations that the preface stands on, with its characters."""
        found: list[Quotation] = []
        for conflict in self.conflicts:
            for side, number in zip(sides_of(conflict), conflict.citations, strict=True):
                start = self.preface.index(side)
                found += [
                    replace(each, answer_start=start, answer_end=start + len(side))
                    for each in self.quotations
                    if each.number == number
                ][:1]
        return found


def sides_of(conflict: Conflict) -> list[str]:
    return [f"{value} [{number}]" for value, number in zip(conflict.values, conflict.citations, strict=True)]


def question_of(exchange: Exchange) -> str:
    """The text to search for. Raises `InvalidRequest` for nothing asked, `ContextLengthExceeded` for too much."""
    last = last_question(exchange)
    if not last:
        raise InvalidRequest("there is no question.", hint="Add a message with role 'user'.", param="messages")
    if len(last) > LONGEST_QUESTION:
        raise ContextLengthExceeded(
            f"the question has {len(last):,} characters; at most {LONGEST_QUESTION:,} are searched for.",
            hint="Ask a shorter question, or add the text to the documents.",
            param="messages",
        )
    return condense(exchange.messages) or last


def last_question(exchange: Exchange) -> str:
    """What was asked last, "" for nothing."""
    texts = [message.text.strip() for message in exchange.messages if message.role == "user"]
    return next((text for text in reversed(texts) if text), exchange.prompt.strip())
