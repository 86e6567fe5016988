"""An app that answers from documents, evidence first.

    rounds of search → sentences ranked → the verified quotes sent → answer → what each part of it stands on

The first chunk carries the evidence and no text. Then comes the answer: in mode "quote" the best sentences as they
stand; in mode "constrained" quotes that a model chooses and cannot change; in mode "compose" what a model writes
from the passages, with citations as they are verified. The last chunk carries the citations of the whole answer.
Where the evidence is too weak the answer is that the documents do not say; where passages disagree it says that.

In mode "quote" no model runs: `temperature`, `top_p`, `seed` and `stop` have nothing to act on, system messages
nobody to read them, and usage is zero tokens; `max_tokens` leaves out sentences, but never the first. What only
a model that writes freely can do (`response_format`, `logprobs`) is refused in both modes of quotes.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from penstock.errors import ConfigError, Unavailable, UnsupportedFeature
from penstock.exchange import AnswerMode, Chunk, Exchange
from penstock.knowledge.abstain import AppCalibration, calibration
from penstock.knowledge.answering.asked import NOT_SAID, Asked, question_of
from penstock.knowledge.answering.citations import Quotation, best_in, best_of_each, quoted, renumbered, verified
from penstock.knowledge.answering.composed import Composer
from penstock.knowledge.answering.conflicts import Side, conflicts_of, disagreement
from penstock.knowledge.answering.constrained import Constrained, Held, Holding
from penstock.knowledge.answering.modelled import Model
from penstock.knowledge.answering.quoted import not_said, quote
from penstock.knowledge.answering.rewriting import Rewriter
from penstock.knowledge.answering.rounds import Found, Rounds, RoundSettings, Search
from penstock.knowledge.answering.wording import Rewrite, Worded, Wording
from penstock.knowledge.base import EVERYTHING, KnowledgeBase, Query, Reader
from penstock.knowledge.evidence import PASSAGES, SEARCHED, Evidence, EvidenceFinder, SentenceVectors
from penstock.knowledge.readers import reader_of
from penstock.prompts.answer import FACTS, answer_prompt, quotes_prompt, rewrite_prompt
from penstock.prompts.template import Prompt
from penstock.seams import Call, Embedder, Facts

__all__ = ["NOT_SAID", "AnswerSettings", "GroundedApp", "answer_prompt"]

READ = 4
"""Passages that a model reads, where the app does not say."""

NEAREST = 3
"""Passages named where the documents do not answer, and quotes sent before a model writes."""


class AnswerSettings(Struct, frozen=True, kw_only=True):
    """How an app answers.

    `mode` "auto" composes where `grounds_well` says that `model` keeps to what it is given, else it quotes.
    `model` is the name that `call` resolves, `holding` how it is held to quotes in mode "constrained". `sentences`
    are quoted at most. An answer is made from the best `passages`; where that is `None`, from `PASSAGES`, `READ` of
    which go into a prompt. Below `threshold`, a probability, the answer is that the documents do not say; `None` is
    the one of `fitted`, the app's own calibration, or else the one that ships.
    Up to `rounds` searches look for what one does not find. `rewrite_model`, or else `model`, words what `rewrites`
    names, for at most `rewrite_seconds` before the first search and before each later one.
    """

    mode: Literal["auto", "quote", "constrained", "compose"] = "auto"
    model: str = ""
    grounds_well: bool = False
    holding: Holding = "grammar"
    sentences: int = 2
    passages: int | None = None
    rounds: int = 2
    rewrites: tuple[Rewrite, ...] = ()
    rewrite_model: str = ""
    rewrite_seconds: float = 3.0
    threshold: float | None = None
    fitted: AppCalibration | None = None
    prompt: Prompt = msgspec.field(default_factory=answer_prompt)
    quotes: Prompt = msgspec.field(default_factory=quotes_prompt)
    facts: Facts | None = None

    @property
    def answers_in(self) -> AnswerMode:
        if self.mode == "auto":
            return "compose" if self.model and self.grounds_well else "quote"
        return self.mode

    @property
    def ranked(self) -> int:
        """Passages whose sentences may be quoted."""
        return PASSAGES if self.passages is None else self.passages

    @property
    def read(self) -> int:
        """Those of them that a model reads."""
        return READ if self.passages is None else self.passages

    @property
    def depth(self) -> int:
        """The passages that its answers are made from."""
        return self.ranked if self.answers_in == "quote" else self.read

    @property
    def composes(self) -> bool:
        return self.answers_in == "compose"

    @property
    def least(self) -> float:
        """The probability below which the documents do not say."""
        if self.threshold is not None:
            return self.threshold
        return calibration().threshold if self.fitted is None else self.fitted.threshold


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
        model = Model(call, settings.model, name) if call is not None and settings.model else None
        words = Model(call, settings.rewrite_model, name) if call is not None and settings.rewrite_model else model
        if (settings.answers_in != "quote" and model is None) or (settings.rewrites and words is None):
            raise ConfigError(
                f"app {name!r} is to {VERBS[settings.answers_in]} but has no model.",
                hint='Add [models.default] to penstock.toml, or set mode = "quote" under [app].',
            )
        self._name = name
        self._knowledge = knowledge
        self._model = model
        self.settings = settings
        self._vectors = SentenceVectors(embedder)
        seconds = settings.rewrite_seconds
        self._rewriter = self._wording = None
        if words is not None and "rounds" in settings.rewrites:
            self._rewriter = Rewriter(words, rewrite_prompt(), seconds)
        if words is not None and settings.rewrites:
            self._wording = Wording(words, settings.rewrites, seconds)
        self._rounds = self.rounds_over(knowledge.search, settings.fitted)

    @property
    def name(self) -> str:
        return self._name

    @property
    def prompt(self) -> Prompt:
        """The prompt that shapes its answers."""
        return self.settings.quotes if self.settings.answers_in == "constrained" else self.settings.prompt

    @property
    def knowledge(self) -> KnowledgeBase:
        return self._knowledge

    @property
    def finder(self) -> EvidenceFinder:
        """Ranks what its searches find."""
        return self._rounds.finder

    @property
    def embedder(self) -> Embedder:
        return self._vectors.embedder

    def rounds_over(self, search: Search, fitted: AppCalibration | None) -> Rounds:
        """How it looks for evidence, in another search, or with probabilities that are corrected otherwise."""
        finder = EvidenceFinder(self._vectors, calibration().for_app(fitted), passages=self.settings.ranked)
        least = replace(self.settings, fitted=fitted).least
        rewrite = None if self._rewriter is None else self._rewriter.query
        return Rounds(search, finder, RoundSettings(rounds=self.settings.rounds, threshold=least), rewrite)

    def query(self, question: str, reader: Reader) -> Query:
        """How it searches for a question."""
        limit = max(SEARCHED, self.settings.ranked)
        return Query(text=question, reader=reader, limit=limit, expand=self._knowledge.has_parents)

    async def warm(self) -> None:
        """Searches and ranks once for nobody, so that the first question does not wait for what loads then."""
        if self._knowledge.generation():
            found = await self._knowledge.search(self.query("warm up", EVERYTHING))
            await self.finder.find("warm up", found)

    async def close(self) -> None:
        """Nothing to close: knowledge, embedder and model belong to others."""

    async def answer(self, exchange: Exchange) -> AsyncGenerator[Chunk, None]:
        """Evidence, text, then what the text stands on. Raises before the first chunk what makes it impossible."""
        self._check(exchange)
        asked = await self.asked(exchange, await self.find(exchange))
        async with contextlib.aclosing(self.told(asked)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def told(self, asked: Asked) -> AsyncGenerator[Chunk, None]:
        """The chunks of an answer for which all is found."""
        yield Chunk(grounding=asked.grounding("evidence", asked.quotations))
        asked = replace(asked, exchange=await self._with_facts(asked))
        async with contextlib.aclosing(self._chunks(asked)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _with_facts(self, asked: Asked) -> Exchange:
        """The exchange with what is known about who asks, where a model is to read it."""
        exchange, facts = asked.exchange, self.settings.facts
        if facts is None or not asked.answered or asked.mode == "quote":
            return exchange
        return exchange.replace(options=exchange.options | {FACTS: await facts.about(exchange)})

    def _chunks(self, asked: Asked) -> AsyncGenerator[Chunk, None]:
        settings, model = self.settings, self._model
        passages = asked.evidence.passages[: settings.read]
        if not asked.answered:
            return not_said(asked)
        if asked.mode == "quote" or model is None:
            return quote(asked)
        if asked.mode == "constrained":
            held = Held(settings.holding, may_decline=settings.grounds_well)
            return Constrained(model, settings.quotes, self._knowledge, held).write(asked, passages)
        return Composer(model, settings.prompt, self._vectors, self._knowledge).write(asked, passages)

    def _check(self, exchange: Exchange) -> None:
        if exchange.operation not in ("chat", "complete"):
            raise UnsupportedFeature(
                f"app {self._name!r} answers questions; it does not {exchange.operation}.",
                hint="Name an embedding model for embeddings.",
                param="model",
            )
        if self.settings.composes:
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

    async def find(self, exchange: Exchange, generation: int | None = None) -> Found:
        """What a question finds, in the published generation or in one that is kept. Raises `Unavailable`."""
        worded = Worded(question_of(exchange)) if self._wording is None else await self._wording.of(exchange)
        query = self.query(worded.question, reader_of(exchange.principal))
        query = replace(query, queries=worded.others, generation=generation)
        found = await self._rounds.find(query, exchange)
        if not found.evidence.passages and not self._knowledge.generation():
            raise Unavailable(
                f"knowledge {self._knowledge.name!r} has no documents yet.",
                hint="Wait until they are taken in, or run 'penstock ingest'.",
                retry_after=2.0,
            )
        return found

    def answers(self, evidence: Evidence) -> bool:
        """Whether the evidence is strong enough to answer from."""
        return bool(evidence.ranked) and evidence.probability >= self.settings.least

    async def asked(self, exchange: Exchange, found: Found) -> Asked:
        """The question with the verified quotes to send first: those of the answer itself, or the nearest ones."""
        evidence = found.evidence
        asked = Asked(
            exchange=exchange,
            knowledge=self._knowledge.name,
            mode=self.settings.answers_in,
            evidence=evidence,
            generation=found.generation,
            answered=self.answers(evidence),
        )
        if not asked.answered:
            nearest = await verified(self._knowledge, best_of_each(evidence, NEAREST), asked.reader)
            return replace(asked, quotations=tuple(renumbered(nearest)))
        differing = disagreement(evidence)
        first = await verified(self._knowledge, self._chosen(asked, differing), asked.reader)
        if asked.mode == "quote":
            first = renumbered(first)
        return replace(asked, quotations=tuple(first), conflicts=conflicts_of(differing, first))

    def _chosen(self, asked: Asked, differing: Sequence[Side]) -> list[Quotation]:
        """The quotations to send first: both sides of a disagreement, then the best ones."""
        evidence, settings = asked.evidence, self.settings
        sides = [quoted(side.ranked) for side in differing]
        if asked.mode == "quote":
            best = [quoted(ranked) for ranked in evidence.best(settings.sentences)]
        else:
            best = best_in(evidence, settings.read, NEAREST)
            sides = [side for side in sides if side.number <= settings.read]
        known = {side.place for side in sides}
        return [*sides, *(each for each in best if each.place not in known)]


VERBS: dict[AnswerMode, str] = {
    "compose": "compose answers",
    "constrained": "answer in quotes that a model chooses",
    "quote": "let a model word its searches",
}
