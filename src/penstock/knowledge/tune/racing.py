"""The race: ways to cut first, at the present mix; then mixes, on the best of them and on the present one.

Everything happens in a folder of its own, so that the knowledge and whoever asks it notice nothing, and a race that
is interrupted leaves nothing behind but that folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from penstock.knowledge.base import KnowledgeBase, KnowledgeOptions
from penstock.knowledge.chunking import ChunkOptions
from penstock.knowledge.ingestion.records import RunRules
from penstock.knowledge.sources.base import Source
from penstock.knowledge.tune.depth import DEPTHS, depths_of, enough
from penstock.knowledge.tune.kept import KeptSource
from penstock.knowledge.tune.questions import Questions
from penstock.knowledge.tune.report import Candidate, Row, TuneReport
from penstock.knowledge.tune.scoring import DEPTH, Found, figures, judged
from penstock.knowledge.values import EVERYTHING, Progress, Query
from penstock.seams import Embedder

WEIGHTS = (0.0, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0)
CUTS: tuple[ChunkOptions, ...] = (
    ChunkOptions(tokens=96),
    ChunkOptions(tokens=128),
    ChunkOptions(tokens=200),
    ChunkOptions(tokens=384),
    ChunkOptions(tokens=200, overlap=40),
    ChunkOptions(strategy="sentences", sentences=4),
    ChunkOptions(strategy="semantic"),
    ChunkOptions(strategy="parents", tokens=64, parent_tokens=256),
)
CODE = ChunkOptions(strategy="code")
"""Raced where there is source code; other documents it cuts as "structure" does."""

KEPT = len(CUTS) + 3
"""Generations: what one way to cut has embedded, the others with the same passages need not."""

RULES = RunRules(allow_delete=True, may_be_empty=True)


class Step(Struct, frozen=True):
    """What is tried now: the `number`th of `of` things, the last of which are not known from the start.

    `seconds` is about how long the rest takes, `None` until the first is done.
    """

    number: int
    of: int
    name: str
    seconds: float | None = None


Told = Callable[[Step], None]


class Racers(Struct, frozen=True):
    """What the race is of: the documents, the encoder, how files are read and cut now, the present mix, how
    many passages an answer is made from, and how many it might be made from."""

    name: str
    sources: tuple[Source, ...]
    embedder: Embedder
    options: KnowledgeOptions
    vector_weight: float
    depth: int
    depths: tuple[int, ...] = DEPTHS
    has_code: bool = False


class Race:
    """`folder` is empty, and belongs to the race. `told` hears what is being tried."""

    def __init__(self, racers: Racers, questions: Questions, folder: Path, told: Told) -> None:
        self._racers = racers
        self._questions = questions
        self._folder = folder
        self._told = told
        self._kept = [KeptSource(source, self._made(f"files-{at}")) for at, source in enumerate(racers.sources)]
        self._rows: list[Row] = []
        self._found: list[list[Found]] = []  # what came of each question, for each row
        self._cut_in: list[float] = []  # seconds, of each way to cut
        self._cuts = list(self._candidates())

    async def run(self, progress: Progress) -> TuneReport:
        """Raises what taking in and searching raise."""
        for candidate in self._cuts:
            started = time.perf_counter()
            await self._try(candidate, [candidate.vector_weight], progress)
            self._cut_in.append(time.perf_counter() - started)
        for candidate in dict.fromkeys(self._rows[at].candidate for at in (0, self._best())):
            others = [weight for weight in WEIGHTS if weight != candidate.vector_weight]
            await self._try(candidate, others, progress)
        report = TuneReport(
            questions=len(self._questions.questions),
            origin=self._questions.origin,
            skipped=self._questions.skipped,
            rows=tuple(self._rows),
            present=0,
            best=self._best(),
        )
        return self._with_depths(report)

    def _with_depths(self, report: TuneReport) -> TuneReport:
        """How many passages are enough of the candidate that is taken, or else of the one in use."""
        present, questions = self._racers.depth, self._questions
        found = self._found[report.best if report.switches else report.present]
        depths = depths_of(found, questions, (*self._racers.depths, present))
        best = present if questions.origin == "sentences" else enough(depths, questions, present)
        return msgspec.structs.replace(report, depths=depths, depth=present, best_depth=best)

    def _candidates(self) -> Iterator[Candidate]:
        """The present one, then the others."""
        present = Candidate(self._racers.options.chunking, self._racers.vector_weight)
        yield present
        own = present.chunking
        for cut in (*CUTS, CODE) if self._racers.has_code else CUTS:
            chunking = msgspec.structs.replace(
                cut, vocabulary=own.vocabulary, vocabulary_digest=own.vocabulary_digest
            )
            if chunking.recipe != own.recipe:
                yield Candidate(chunking, present.vector_weight)

    def _best(self) -> int:
        """The first of those that are worth most, so that the present setting wins where nothing is better.

        Questions in the words of the documents say nothing for a weight: there the present one stays.
        """
        may_win = [
            at
            for at, row in enumerate(self._rows)
            if self._questions.origin != "sentences" or row.candidate.vector_weight == self._racers.vector_weight
        ]
        return max(may_win, key=lambda at: (self._rows[at].choosing.worth, -at))

    def _tell(self, candidate: Candidate, weight: float | None = None) -> None:
        number = len(self._rows) + 1
        cuts = len(self._cuts)
        name = candidate.name if weight is None else f"{candidate.name}, vector_weight {weight:g}"
        left = None
        if self._cut_in:
            left = sum(self._cut_in) / len(self._cut_in) * (cuts - len(self._cut_in))
        self._told(Step(number, cuts + 2 * (len(WEIGHTS) - 1), name, left))

    async def _try(self, candidate: Candidate, weights: Sequence[float], progress: Progress) -> None:
        """Takes the documents in as the candidate says, and asks with each of the weights."""
        self._tell(candidate)
        options = msgspec.structs.replace(self._racers.options, chunking=candidate.chunking, keep_generations=KEPT)
        racers = self._racers
        base = KnowledgeBase.open(self._folder / "knowledge.db", racers.name, racers.embedder, options)
        try:
            await base.ingest(self._kept, progress=progress, rules=RULES)
            passages = base.counts(EVERYTHING).chunks
            for weight in weights:
                tried = Candidate(candidate.chunking, weight)
                if len(weights) > 1:
                    self._tell(candidate, weight)
                self._rows.append(await self._asked(base, tried, passages))
        finally:
            base.close()

    async def _asked(self, base: KnowledgeBase, candidate: Candidate, passages: int) -> Row:
        found = []
        for question in self._questions.questions:
            query = Query(
                text=question.text,
                reader=EVERYTHING,
                limit=max(DEPTH, self._racers.depth, *self._racers.depths),
                rerank=False,
                vector_weight=candidate.vector_weight,
                expand=candidate.chunking.strategy == "parents",
            )
            started = time.perf_counter()
            result = await base.search(query)
            found.append(judged(question, result.hits, (time.perf_counter() - started) * 1000))
        self._found.append(found)
        choosing, held_out = (
            figures([found[at] for at in self._questions.half(chooses=half)]) for half in (True, False)
        )
        return Row(candidate, passages, choosing, held_out)

    def _made(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir()
        return folder
