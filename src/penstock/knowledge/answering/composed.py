"""Answers that a model writes from the passages, checked while it writes."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence

from msgspec.structs import replace

from penstock.exchange import Chunk, Grounding
from penstock.knowledge.answering.asked import Asked
from penstock.knowledge.answering.checked import CheckedText, Written
from penstock.knowledge.answering.citations import Quotation, verified
from penstock.knowledge.answering.modelled import Model, ended, span
from penstock.knowledge.base import KnowledgeBase
from penstock.knowledge.evidence import SentenceVectors
from penstock.knowledge.values import Hit
from penstock.prompts.template import Prompt


class Composer:
    """Lets a model write, and says of each part what it stands on as soon as that is known."""

    def __init__(self, model: Model, prompt: Prompt, vectors: SentenceVectors, knowledge: KnowledgeBase) -> None:
        self._model = model
        self._prompt = prompt
        self._vectors = vectors
        self._knowledge = knowledge

    async def write(self, asked: Asked, passages: Sequence[Hit]) -> AsyncGenerator[Chunk, None]:
        """The text with its partial groundings, and in the end what all of it stands on."""
        checked = CheckedText(asked.evidence.question.text, passages, self._vectors, before=asked.preface)
        if asked.preface:
            yield Chunk(text=asked.preface)
        end = Chunk(finish_reason="stop")
        sent = self._model.sent(asked.exchange, self._prompt, passages)
        async with contextlib.aclosing(self._model.chunks(sent)) as chunks:
            async for chunk in chunks:
                end = ended(end, chunk)
                piece = await self._chunk(asked, await checked.take(chunk.text)) if chunk.text else Chunk()
                if piece.text or piece.grounding or chunk.logprobs:
                    yield replace(piece, logprobs=chunk.logprobs)
        with span(asked.exchange.tracer, "attribution") as recorded:
            rest = await self._chunk(asked, await checked.end())
            cited = await verified(self._knowledge, checked.quotations, asked.reader)
            if recorded is not None:
                recorded.set(**attribution_attributes(checked, passages, cited))
        if rest.text:
            yield rest
        yield replace(end, grounding=whole_grounding(asked, checked, cited))

    async def _chunk(self, asked: Asked, written: Written) -> Chunk:
        """Text with the citations that were found with it."""
        found = await verified(self._knowledge, written.quotations, asked.reader)
        if not found and not written.unsupported:
            return Chunk(text=written.text)
        grounding = replace(asked.grounding("partial", found), unsupported=written.unsupported)
        return Chunk(text=written.text, grounding=grounding)


def whole_grounding(asked: Asked, checked: CheckedText, cited: Sequence[Quotation]) -> Grounding:
    """What the whole answer stands on."""
    return replace(
        replace(asked, answered=not checked.declined).ended(cited),
        unsupported=tuple((claim.start, claim.end) for claim in checked.found.unsupported),
        grounded=checked.found.grounded,
    )


def attribution_attributes(
    checked: CheckedText, passages: Sequence[Hit], cited: Sequence[Quotation]
) -> dict[str, object]:
    used = {quotation.number for quotation in cited}
    unused = [hit for number, hit in enumerate(passages, start=1) if number not in used]
    return {
        "claims": recorded_claims(checked, cited),
        "supported": len(checked.found.supports),
        "unsupported": len(checked.found.unsupported),
        "misquoted": checked.misquoted,
        "grounded": checked.found.grounded,
        "tokens": checked.found.tokens,
        "passages": len(passages),
        "passages_used": len(passages) - len(unused),
        "unused_chars": sum(len(hit.text) for hit in unused),
    }


def recorded_claims(checked: CheckedText, cited: Sequence[Quotation]) -> list[dict[str, object]]:
    """By characters of the answer: where the documents say what stands there, nowhere for what nothing supports."""
    places: dict[tuple[int, int], list[dict[str, object]]] = {
        (claim.start, claim.end): [] for claim in checked.found.unsupported
    }
    for each in cited:
        hit, sentence = each.sentence.hit, each.sentence
        place: dict[str, object] = {"start": sentence.start, "end": sentence.end, "location": hit.location}
        place |= {"document": hit.document, "document_id": hit.document_id, "heading": hit.heading}
        places.setdefault((each.answer_start or 0, each.answer_end or 0), []).append(place)
    return [{"start": start, "end": end, "places": found} for (start, end), found in sorted(places.items())]
