"""Answers that a model writes from the passages, checked while it writes."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence

from msgspec.structs import replace

from penstock.exchange import Chunk, Grounding
from penstock.knowledge.answering.asked import NOT_SAID, Asked, Citing
from penstock.knowledge.answering.checked import CheckedText, Written
from penstock.knowledge.answering.modelled import Model, ended, span
from penstock.knowledge.citations import Quotation
from penstock.knowledge.evidence import SentenceVectors
from penstock.knowledge.values import Hit
from penstock.prompts.template import Prompt


class Composer:
    """Lets a model write, and says of each part what it stands on as soon as that is known."""

    def __init__(self, model: Model, prompt: Prompt, vectors: SentenceVectors, citing: Citing) -> None:
        self._model = model
        self._prompt = prompt
        self._vectors = vectors
        self._citing = citing

    async def write(self, asked: Asked, passages: Sequence[Hit]) -> AsyncGenerator[Chunk, None]:
        """The text with its partial groundings, and in the end what all of it stands on."""
        checked = CheckedText(asked.evidence.question.text, passages, self._vectors, before=asked.preface)
        if asked.preface:
            yield Chunk(text=asked.preface)
        end = Chunk(finish_reason="stop")
        written = ""
        sent = self._model.sent(asked.exchange, self._prompt, passages)
        async with contextlib.aclosing(self._model.chunks(sent)) as chunks:
            async for chunk in chunks:
                end = ended(end, chunk)
                written += chunk.text
                piece = await self._chunk(asked, await checked.take(chunk.text)) if chunk.text else Chunk()
                if piece.text or piece.grounding or chunk.logprobs:
                    yield replace(piece, logprobs=chunk.logprobs)
        with span(asked.exchange.tracer, "attribution") as recorded:
            rest = await self._chunk(asked, await checked.end())
            cited = await self._citing.verified(asked, checked.quotations)
            if recorded is not None:
                recorded.set(**attribution_attributes(checked, passages, cited))
        if rest.text:
            yield rest
        said_nothing = written.strip().strip("\"'“”").startswith(NOT_SAID.removesuffix("."))
        yield replace(end, grounding=self._ended(asked, checked, cited, said_nothing))

    async def _chunk(self, asked: Asked, written: Written) -> Chunk:
        """Text with the citations that were found with it."""
        verified = await self._citing.verified(asked, written.quotations)
        if not verified and not written.unsupported:
            return Chunk(text=written.text)
        grounding = replace(self._citing.grounding(asked, "partial", verified), unsupported=written.unsupported)
        return Chunk(text=written.text, grounding=grounding)

    def _ended(self, asked: Asked, checked: CheckedText, cited: list[Quotation], said_nothing: bool) -> Grounding:
        """What the whole answer stands on, then the evidence that it did not use."""
        used = {quotation.place for quotation in cited}
        cited = [*asked.prefaced(), *cited]
        cited += [quotation for quotation in asked.quotations if quotation.place not in used]
        if said_nothing:
            return self._citing.grounding(replace(asked, answered=False), "answer", cited)
        unsupported = tuple((claim.start, claim.end) for claim in checked.found.unsupported)
        return replace(
            self._citing.grounding(asked, "answer", cited),
            unsupported=unsupported,
            grounded=checked.found.grounded,
        )


def attribution_attributes(
    checked: CheckedText, passages: Sequence[Hit], cited: Sequence[Quotation]
) -> dict[str, object]:
    used = {quotation.number for quotation in cited}
    unused = [hit for number, hit in enumerate(passages, start=1) if number not in used]
    return {
        "supported": len(checked.found.supports),
        "unsupported": len(checked.found.unsupported),
        "misquoted": checked.misquoted,
        "grounded": checked.found.grounded,
        "tokens": checked.found.tokens,
        "passages": len(passages),
        "passages_used": len(passages) - len(unused),
        "unused_chars": sum(len(hit.text) for hit in unused),
    }
