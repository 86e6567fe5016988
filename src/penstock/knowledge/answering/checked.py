"""A composed answer while it is written: what the reader gets of it, and what each part of it stands on.

Each quotation is looked up in the passages before its closing mark goes out; one that is not there loses its marks,
for its words are the model's own. Each `[n]` is a claim that passage n supports the sentence before it: a wrong
number becomes the right one, and a mark that nothing supports is left out. Each sentence gets its support as soon
as the next one has begun.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from penstock.knowledge.answering.asked import NOT_SAID
from penstock.knowledge.answering.attribution import Attribution, Claim, Support, attribute, claims_of
from penstock.knowledge.answering.citations import Quotation
from penstock.knowledge.answering.gate import CLOSES, Piece, QuotationGate, marked
from penstock.knowledge.answering.verbatim import Verbatim
from penstock.knowledge.evidence import SentenceVectors, candidates_of
from penstock.knowledge.terms import words
from penstock.knowledge.values import Hit

FEWEST_WORDS = 3
"""Of a quotation that is cited by itself; shorter ones keep their marks, and their sentence is cited."""

MOSTLY = 0.6
"""A sentence that consists of verified quotations to this share stands on them, whatever the encoder says."""


class Written(Struct, frozen=True):
    """Text for the reader, with what was found of it and of the text before it."""

    text: str
    quotations: tuple[Quotation, ...] = ()
    unsupported: tuple[tuple[int, int], ...] = ()


class CheckedText:
    """An answer from the passages, checked while it comes. Ranges are characters of what the reader got.

    `before` is what the reader got already, of which nothing needs a support. Nor does an answer that the documents
    do not say.
    """

    def __init__(self, question: str, passages: Sequence[Hit], vectors: SentenceVectors, before: str = "") -> None:
        self.text = before
        self.found = Attribution()
        self.quotations: list[Quotation] = []
        self.misquoted = 0
        self._question = question
        self._asked = f" {' '.join(words(question))} "
        self._sentences = [*candidates_of(passages)]
        self._verbatim = Verbatim(passages)
        self._vectors = vectors
        self._gate = QuotationGate()
        self._begun = self._done = len(before)
        self._swallow = ""
        self._skip_space = False
        self._quoted: list[Quotation] = []

    @property
    def declined(self) -> bool:
        """Whether the model says that the documents do not."""
        return self.text[self._begun :].lstrip(" \n\"'“”").startswith(NOT_SAID.removesuffix("."))

    async def take(self, text: str) -> Written:
        """What the reader gets now that the model has written more."""
        return await self._written([*self._gate.feed(text)], last=False)

    async def end(self) -> Written:
        """What is left when the model has finished."""
        return await self._written([*self._gate.end()], last=True)

    async def _written(self, pieces: Sequence[Piece], *, last: bool) -> Written:
        start = len(self.text)
        known = len(self._quoted)
        for piece in pieces:
            await self._add(piece)
        found = await self._finished_sentences(last=last)
        cited = self._quoted[known:] + [supporting(support) for support in found.supports]
        self.quotations += cited
        unsupported = tuple((claim.start, claim.end) for claim in found.unsupported)
        return Written(self.text[start:], tuple(cited), unsupported)

    async def _add(self, piece: Piece) -> None:
        if piece.kind == "quotation":
            self.text += self._quotation(piece)
        elif piece.kind == "mark":
            mark = await self._mark(piece)
            self._skip_space = not mark and self.text.endswith(" ")
            self.text += mark
        elif piece.kind == "open":
            self.misquoted += 1
            self._swallow = CLOSES[piece.text[0]]
            self.text += piece.inside
        else:
            text = piece.text.removeprefix(" ") if self._skip_space else piece.text
            self._skip_space = False
            self.text += self._without_orphan(text)

    def _quotation(self, piece: Piece) -> str:
        """The quotation with its marks where it is one, and without them where it is not."""
        said = " ".join(words(piece.inside))
        if not said or f" {said} " in self._asked:  # the words of the question are quoted from there
            return piece.text
        places = self._verbatim.find(piece.inside)
        if not places:
            self.misquoted += 1
            return piece.inside
        if len(said.split()) >= FEWEST_WORDS:
            start, end = len(self.text), len(self.text) + len(piece.text)
            self._quoted += [
                Quotation(sentence=each, number=each.number, score=1.0, answer_start=start, answer_end=end)
                for each in places
            ]
        return piece.text

    async def _mark(self, piece: Piece) -> str:
        """The mark with the numbers that are right; "" where none is."""
        claims = claims_of(self.text[self._done :] + piece.text)
        if not claims or not claims[-1].text:
            return ""
        found = await attribute(claims[-1:], self._question, self._sentences, self._vectors)
        if found.claims == 0:  # "Yes. [1]" claims nothing that could be wrong
            numbers = [number for number in marked(piece.text) if 1 <= number <= len(self._verbatim)]
        else:
            numbers = [support.sentence.number for support in found.supports]
            if not numbers and self._quoted_share(claims[-1]) >= MOSTLY:
                quoted = {each.number for each in self._quoted}
                numbers = [number for number in marked(piece.text) if number in quoted]
        return f"[{', '.join(map(str, numbers))}]" if numbers else ""

    def _without_orphan(self, text: str) -> str:
        """The text without the mark that closes a quotation whose opening one was taken off."""
        if not self._swallow:
            return text
        line = text.find("\n")
        at = min((at for close in self._swallow if (at := text.find(close)) >= 0), default=-1)
        if at >= 0 and (line < 0 or at < line):
            self._swallow = ""
            return text[:at] + text[at + 1 :]
        if line >= 0:
            self._swallow = ""
        return text

    async def _finished_sentences(self, *, last: bool) -> Attribution:
        """The support of the sentences that are whole: those behind which another word stands, in the end all."""
        tail = self.text[self._done :]
        if not last:
            word = re.search(r"\s\S*$", tail)
            tail = tail[: word.start()] if word else ""
        claims = claims_of(tail)
        if not last:
            claims = claims[:-1]
        if not claims:
            return Attribution()
        offset = self._done
        claims = [replace(claim, start=claim.start + offset, end=claim.end + offset) for claim in claims]
        self._done = claims[-1].end
        found = await attribute(claims, self._question, self._sentences, self._vectors)
        if self.declined:
            found = replace(found, unsupported=(), claims=0)
        standing = tuple(claim for claim in found.unsupported if self._quoted_share(claim) < MOSTLY)
        found = replace(found, unsupported=standing)
        self.found += found
        return found

    def _quoted_share(self, claim: Claim) -> float:
        """The share of a sentence that is verified quotation."""
        quoted = sum(
            max(0, min(claim.end, each.answer_end or 0) - max(claim.start, each.answer_start or 0))
            for each in self._quoted
        )
        return quoted / max(1, len(claim.text))


def supporting(support: Support) -> Quotation:
    """The quotation that a claim of a composed answer stands on."""
    return Quotation(
        sentence=support.sentence,
        number=support.sentence.number,
        score=min(1.0, support.score),
        answer_start=support.claim.start,
        answer_end=support.claim.end,
    )
