"""What the end of a passage says, said again at the beginning of the next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from penstock.knowledge.chunking.tokens import MeasuredText
from penstock.knowledge.chunking.units import sentences
from penstock.knowledge.chunking.values import Passage


def overlapping(document: MeasuredText, passages: Sequence[Passage], overlap: int) -> Iterator[Passage]:
    """The passages, each beginning with whole sentences of the one before it, at most `overlap` tokens of them.

    Under another heading, or in another parent, a passage begins where it did.
    """
    last: Passage | None = None
    for passage in passages:
        if last is None or last.heading != passage.heading or last.parent != passage.parent:
            yield passage
        else:
            start = passage.start
            for low, _ in reversed(sentences(document.text, last.start, last.end)):
                if low <= last.start or document.tokens(low, passage.start) > overlap:
                    break
                start = low
            yield msgspec.structs.replace(passage, start=start)
        last = passage
