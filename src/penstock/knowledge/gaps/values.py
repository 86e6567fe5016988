"""What a gap in the documents is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from penstock.knowledge.values import Reader

GapState = Literal["open", "answered", "dismissed"]
GapReason = Literal["unanswered", "unsupported", "disliked"]
"""Why a question is in a gap: the documents did not say, too little of the answer stood in them, or somebody did
not like the answer."""


class GapQuestion(Struct, frozen=True, kw_only=True):
    """A question that was asked. Times are UTC microseconds; `answered_in` is the generation that answers it."""

    trace_id: str
    text: str
    reason: GapReason
    asked_us: int
    answered_in: int | None = None


class Gap(Struct, frozen=True, kw_only=True):
    """Questions that mean the same and have no good answer; named after the one that stands for all.

    `count` of them were asked, `open` of these are still not answered. `terms` are the words that they share and
    others do not use. `closed_in` is the generation that answered them. `note` says why it was dismissed.
    """

    id: str
    knowledge: str
    name: str
    terms: tuple[str, ...]
    state: GapState
    count: int
    open: int
    reasons: dict[str, int]
    first_us: int
    last_us: int
    closed_us: int | None = None
    closed_in: int | None = None
    note: str = ""


class NewQuestion(Struct, frozen=True, kw_only=True):
    """A question to put into a gap; `tags` are those of who asked, `None` for who may find everything."""

    trace_id: str
    text: str
    reason: GapReason
    asked_us: int
    tags: tuple[str, ...] | None


class OpenQuestion(Struct, frozen=True, kw_only=True):
    """A question that is to be asked again."""

    project_id: str
    trace_id: str
    gap_id: str
    text: str
    reason: GapReason
    asked_us: int
    reader: Reader

    def closed_by(self, verdict: Verdict) -> bool:
        """Whether that answers it. An answer that was not liked, or did not stand in the documents, had evidence,
        too: there the evidence must be newer than the question."""
        if self.reason == "unanswered":
            return verdict.answered
        return verdict.answered and verdict.loaded_us > self.asked_us


class Place(Struct, frozen=True, kw_only=True):
    """Which questions and gaps: of one project, about one knowledge, told apart by one encoder."""

    project_id: str
    knowledge: str
    fingerprint: str


class Known(Struct, frozen=True):
    """The questions of one gap by time, with their vectors: float32 (n, dimensions)."""

    texts: tuple[str, ...]
    vectors: NDArray[np.float32]


class Collected(Struct, frozen=True):
    """What looking through the traces came to."""

    questions: int
    gaps: int


class Rechecked(Struct, frozen=True):
    """What asking again came to: questions asked, how many of them are answered now, and gaps closed by it."""

    asked: int
    answered: int
    closed: int


class Verdict(Struct, frozen=True):
    """Whether the documents answer a question now, and when the document was taken in that does."""

    answered: bool
    generation: int
    loaded_us: int = 0


Judge = Callable[[str, Reader], Awaitable[Verdict]]
"""Asks the documents again, for one who may find what the reader may."""
