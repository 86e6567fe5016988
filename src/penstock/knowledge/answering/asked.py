"""A question with what was found for it, and what its answer says before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from penstock.exchange import AnswerMode, Citation, Conflict, Exchange, Grounding, Usage
from penstock.knowledge.answering.conflicts import Disagreement
from penstock.knowledge.citations import Quotation, Quoting, quoted
from penstock.knowledge.evidence import Evidence
from penstock.knowledge.readers import reader_of

NOT_SAID = "The documents do not say."
DISAGREE = "The documents do not agree:"
NO_MODEL = Usage(input=0, output=0)


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

    def grounding(self, stage: Stage, citations: Sequence[Citation]) -> Grounding:
        return Grounding(
            stage=stage,
            mode=self.mode,
            knowledge=self.knowledge,
            generation=self.generation,
            answered=self.answered,
            score=round(self.evidence.probability, 4),
            citations=tuple(citations),
            conflicts=self.conflicts,
        )

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


class Citing:
    """Makes groundings of verified quotations."""

    def __init__(self, quoting: Quoting) -> None:
        self._quoting = quoting

    async def verified(self, asked: Asked, quotations: Sequence[Quotation]) -> list[Quotation]:
        """Those that stand in their documents, for the one who asks."""
        return await self._quoting.verified(quotations, reader_of(asked.exchange.principal))

    def grounding(self, asked: Asked, stage: Stage, quotations: Sequence[Quotation]) -> Grounding:
        return asked.grounding(stage, [self._quoting.citation(each) for each in quotations])


def conflict_of(found: Disagreement | None, quotations: Sequence[Quotation]) -> tuple[Conflict, ...]:
    """The disagreement under the numbers of verified quotations; none where a side could not be verified."""
    if found is None:
        return ()
    numbers = {each.place: each.number for each in quotations}
    sides = [(side.value, numbers.get(quoted(side.ranked).place)) for side in found.sides]
    known = [(value, number) for value, number in sides if number is not None]
    if len({number for _, number in known}) < 2:
        return ()
    return (Conflict(tuple(value for value, _ in known), tuple(number for _, number in known)),)
