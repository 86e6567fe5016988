"""An app that answers from documents, evidence first.

    search → rank sentences → send the verified quotes → answer → say what each part of the answer stands on

The first chunk carries the evidence and no text. Then comes the answer: in mode "quote" the best sentences as
they stand, in mode "compose" what a model writes from the passages, streamed as it writes. The last chunk carries
the citations of the answer itself. Where the evidence is too weak the answer is that the documents do not say.

In mode "quote" no model runs: `temperature`, `top_p`, `seed` and `stop` have nothing to act on, system messages
nobody to read them, and usage is zero tokens; `max_tokens` leaves out sentences, but never the first. What only
a model can do (`response_format`, `logprobs`) is refused.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from penstock.errors import ConfigError, Unavailable, UnsupportedFeature
from penstock.exchange import Chunk, Exchange, FinishReason, Grounding, Usage
from penstock.knowledge.abstain import calibration
from penstock.knowledge.attribution import Support, attribute
from penstock.knowledge.base import EVERYTHING, Hit, KnowledgeBase, Query
from penstock.knowledge.citations import Quotation, Quoting, best_in, best_of_each, quoted, renumbered, within
from penstock.knowledge.composing import model_exchange, model_messages, question_of
from penstock.knowledge.evidence import (
    SEARCHED,
    Evidence,
    EvidenceFinder,
    SentenceVectors,
    candidates_of,
)
from penstock.knowledge.readers import reader_of
from penstock.prompts.answer import answer_prompt
from penstock.prompts.template import Prompt
from penstock.seams import Call, Embedder, Span, SpanKind, Tracer

__all__ = ["AnswerSettings", "GroundedApp", "answer_prompt"]

NOT_SAID = "The documents do not say."
NEAREST = 3
"""Passages named where the documents do not answer, and quotes sent as evidence for a composed answer."""

NO_MODEL = Usage(input=0, output=0)


class AnswerSettings(Struct, frozen=True, kw_only=True):
    """How an app answers.

    `mode` "auto" composes where `grounds_well` says that `model` keeps to what it is given, else it quotes.
    `model` is the name that `call` resolves. `sentences` are quoted at most, `passages` go into the prompt.
    Below `threshold`, a probability, the answer is that the documents do not say; `None` is the calibrated one.
    """

    mode: Literal["auto", "quote", "compose"] = "auto"
    model: str = ""
    grounds_well: bool = False
    sentences: int = 2
    passages: int = 4
    threshold: float | None = None
    prompt: Prompt = msgspec.field(default_factory=answer_prompt)

    @property
    def composes(self) -> bool:
        return self.mode == "compose" or (self.mode == "auto" and bool(self.model) and self.grounds_well)


class _Asked(Struct, frozen=True):
    """A question with what was found for it: what every chunk of its answer needs to know."""

    exchange: Exchange
    evidence: Evidence
    generation: int
    answered: bool


class GroundedApp:
    """Answers from one knowledge base (`seams.Provider`)."""

    def __init__(
        self,
        name: str,
        knowledge: KnowledgeBase,
        embedder: Embedder,
        call: Call | None,
        settings: AnswerSettings,
    ) -> None:
        if settings.composes and (call is None or not settings.model):
            raise ConfigError(
                f"app {name!r} is to compose answers but has no model.",
                hint='Add [models.default] to penstock.toml, or set mode = "quote" under [app].',
            )
        self._name = name
        self._knowledge = knowledge
        self._call = call
        self._settings = settings
        self._threshold = calibration().threshold if settings.threshold is None else settings.threshold
        self._vectors = SentenceVectors(embedder)
        self._finder = EvidenceFinder(self._vectors, calibration())
        self._quoting = Quoting(knowledge)

    @property
    def name(self) -> str:
        return self._name

    @property
    def prompt(self) -> Prompt:
        return self._settings.prompt

    async def warm(self) -> None:
        """Searches and ranks once for nobody, so that the first question does not wait for what loads then."""
        if self._knowledge.generation():
            found = await self._knowledge.search(Query(text="warm up", reader=EVERYTHING, limit=SEARCHED))
            await self._finder.find("warm up", found)

    async def close(self) -> None:
        """Nothing to close: knowledge, embedder and model belong to others."""

    async def answer(self, exchange: Exchange) -> AsyncGenerator[Chunk, None]:
        """Evidence, text, then what the text stands on. Raises before the first chunk what makes it impossible."""
        self._check(exchange)
        asked = await self._find(exchange)
        evidence = await self._quotations(asked)
        yield Chunk(grounding=self._grounding(asked, "evidence", evidence))
        if not asked.answered:
            chunks = self._not_said(asked, evidence)
        elif self._settings.composes:
            chunks = self._compose(asked, evidence)
        else:
            chunks = self._quote(asked, evidence)
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    def _check(self, exchange: Exchange) -> None:
        if exchange.operation not in ("chat", "complete"):
            raise UnsupportedFeature(
                f"app {self._name!r} answers questions; it does not {exchange.operation}.",
                hint="Name an embedding model for embeddings.",
                param="model",
            )
        if self._settings.composes:
            return
        for wanted, name in (
            (exchange.parameters.constraint is not None, "response_format"),
            (exchange.parameters.logprobs, "logprobs"),
        ):
            if wanted:
                raise UnsupportedFeature(
                    f"{name!r} needs a model to write the answer, but app {self._name!r} quotes its documents.",
                    hint=f'Leave out {name!r}, call a model by its own name, or set mode = "compose" under [app] in'
                    " penstock.toml.",
                    param=name,
                )

    async def _find(self, exchange: Exchange) -> _Asked:
        question = question_of(exchange)
        query = Query(text=question, reader=reader_of(exchange.principal), limit=SEARCHED)
        found = await self._knowledge.search(query, exchange.tracer)
        if not found.hits and not self._knowledge.generation():
            raise Unavailable(
                f"knowledge {self._knowledge.name!r} has no documents yet.",
                hint="Wait until they are taken in, or run 'penstock ingest'.",
                retry_after=2.0,
            )
        with span(exchange.tracer, "evidence", "reranker", question=question) as recorded:
            evidence = await self._finder.find(question, found)
            answered = bool(evidence.ranked) and evidence.probability >= self._threshold
            if recorded is not None:
                recorded.set(**evidence_attributes(evidence, self._threshold))
        return _Asked(exchange, evidence, found.generation, answered)

    async def _quotations(self, asked: _Asked) -> list[Quotation]:
        """The verified quotes to send first: those of the answer itself, or the nearest ones."""
        evidence, settings, reader = asked.evidence, self._settings, reader_of(asked.exchange.principal)
        if asked.answered and settings.composes:
            return await self._quoting.verified(best_in(evidence, settings.passages, NEAREST), reader)
        chosen = (
            [quoted(ranked) for ranked in evidence.best(settings.sentences)]
            if asked.answered
            else best_of_each(evidence, NEAREST)
        )
        return renumbered(await self._quoting.verified(chosen, reader))

    async def _quote(self, asked: _Asked, evidence: Sequence[Quotation]) -> AsyncGenerator[Chunk, None]:
        """The best sentences as they stand, each with the number of its citation."""
        kept = within(asked.exchange.parameters.max_tokens, evidence)
        length = 0
        cited = []
        for quotation in kept:
            piece = f"{' ' if length else ''}{quotation.sentence.text} [{quotation.number}]"
            start, length = length + bool(length), length + len(piece)
            cited.append(replace(quotation, answer_start=start, answer_end=length))
            yield Chunk(text=piece)
        finish: FinishReason = "stop" if len(kept) == len(evidence) else "length"
        yield self._last(asked, cited, finish, NO_MODEL)

    async def _not_said(self, asked: _Asked, evidence: Sequence[Quotation]) -> AsyncGenerator[Chunk, None]:
        """That the documents do not say, and where they come nearest."""
        text = f"{NOT_SAID} The nearest passages:" if evidence else NOT_SAID
        cited = []
        for quotation in evidence:
            start = len(text) + 1
            text += f" [{quotation.number}]"
            cited.append(replace(quotation, answer_start=start, answer_end=len(text)))
        yield Chunk(text=text)
        yield self._last(asked, cited, "stop", NO_MODEL)

    async def _compose(self, asked: _Asked, evidence: Sequence[Quotation]) -> AsyncGenerator[Chunk, None]:
        """What the model writes from the passages, then what each of its sentences stands on."""
        assert self._call is not None
        parts: list[str] = []
        end = Chunk(finish_reason="stop")
        passages = asked.evidence.passages[: self._settings.passages]
        chunks = self._call(self._model_exchange(asked, passages))
        try:
            async for chunk in chunks:
                parts.append(chunk.text)
                end = replace(
                    end, finish_reason=chunk.finish_reason or end.finish_reason, usage=chunk.usage or end.usage
                )
                if chunk.text or chunk.logprobs:
                    yield Chunk(text=chunk.text, logprobs=chunk.logprobs)
        finally:
            if (close := getattr(chunks, "aclose", None)) is not None:
                await close()
        grounding = await self._attributed(asked, "".join(parts), passages, evidence)
        yield replace(end, grounding=grounding)

    def _model_exchange(self, asked: _Asked, passages: Sequence[Hit]) -> Exchange:
        exchange, prompt = asked.exchange, self._settings.prompt
        with span(exchange.tracer, "prompt", "prompt", template=prompt.digest) as recorded:
            messages = model_messages(exchange, self._name, prompt, passages)
            if recorded is not None:
                recorded.set(messages=messages)
        return model_exchange(exchange, self._settings.model, prompt, messages)

    async def _attributed(
        self, asked: _Asked, text: str, passages: Sequence[Hit], evidence: Sequence[Quotation]
    ) -> Grounding:
        """What a composed text stands on: the support of each sentence, then the evidence it did not use."""
        sentences = [(sentence.at + 1, sentence) for sentence in candidates_of(passages)]
        with span(asked.exchange.tracer, "attribution") as recorded:
            found = await attribute(text, asked.evidence.question.text, sentences, self._vectors)
            if recorded is not None:
                used_passages = {support.number for support in found.supports}
                unused = [hit for number, hit in enumerate(passages, start=1) if number not in used_passages]
                recorded.set(
                    supported=len(found.supports),
                    unsupported=len(found.unsupported),
                    tokens=found.tokens,
                    passages=len(passages),
                    passages_used=len(passages) - len(unused),
                    unused_chars=sum(len(hit.text) for hit in unused),
                )
        reader = reader_of(asked.exchange.principal)
        cited = await self._quoting.verified([supporting(support) for support in found.supports], reader)
        used = {quotation.place for quotation in cited}
        cited += [quotation for quotation in evidence if quotation.place not in used]
        if text.strip().strip("\"'").startswith(NOT_SAID.removesuffix(".")):
            return self._grounding(replace(asked, answered=False), "answer", cited)
        unsupported = tuple((claim.start, claim.end) for claim in found.unsupported)
        return replace(self._grounding(asked, "answer", cited), unsupported=unsupported)

    def _last(self, asked: _Asked, cited: Sequence[Quotation], finish: FinishReason, usage: Usage) -> Chunk:
        return Chunk(finish_reason=finish, usage=usage, grounding=self._grounding(asked, "answer", cited))

    def _grounding(
        self, asked: _Asked, stage: Literal["evidence", "answer"], quotations: Sequence[Quotation]
    ) -> Grounding:
        return Grounding(
            stage=stage,
            mode="compose" if self._settings.composes else "quote",
            knowledge=self._knowledge.name,
            generation=asked.generation,
            answered=asked.answered,
            score=round(asked.evidence.probability, 4),
            citations=tuple(map(self._quoting.citation, quotations)),
        )


def supporting(support: Support) -> Quotation:
    """The quotation that a claim of a composed answer stands on."""
    return Quotation(
        sentence=support.sentence,
        number=support.number,
        score=min(1.0, support.score),
        answer_start=support.claim.start,
        answer_end=support.claim.end,
    )


def span(
    tracer: Tracer | None, name: str, kind: SpanKind = "chain", **attributes: Any
) -> contextlib.AbstractContextManager[Span | None]:
    """A span where the exchange is traced."""
    return contextlib.nullcontext() if tracer is None else tracer.span(name, kind, **attributes)


def evidence_attributes(evidence: Evidence, threshold: float) -> dict[str, Any]:
    return {
        "probability": round(evidence.probability, 4),
        "threshold": threshold,
        "tokens": evidence.tokens,
        "sentences": [
            {
                "document": ranked.sentence.hit.document,
                "start": ranked.sentence.start,
                "end": ranked.sentence.end,
                "text": ranked.sentence.text,
                "score": round(ranked.score, 4),
                "cosine": round(ranked.measures.cosine, 4),
            }
            for ranked in evidence.ranked[:5]
        ],
    }
