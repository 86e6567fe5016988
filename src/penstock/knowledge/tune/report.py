"""What was tried and what came of it; kept with the generation that the winner makes."""

from __future__ import annotations

from msgspec import Struct

from penstock.knowledge.chunking import ChunkOptions
from penstock.knowledge.tune.depth import Depth
from penstock.knowledge.tune.questions import Origin
from penstock.knowledge.tune.scoring import Figures

LEAST_GAIN = 0.005
"""By which a candidate must beat the present setting on questions that did not choose it: less is chance."""


class Candidate(Struct, frozen=True):
    """A way to cut and to mix."""

    chunking: ChunkOptions
    vector_weight: float

    @property
    def name(self) -> str:
        options = self.chunking
        size = {"sentences": f"{options.sentences} × ≤{options.tokens}"}.get(options.strategy, str(options.tokens))
        if options.strategy == "parents":
            size += f" in {options.parent_tokens}"
        overlap = f" +{options.overlap}" if options.overlap else ""
        return f"{options.strategy} {size}{overlap}"

    def lines(self) -> dict[str, str | int | float]:
        """The settings of `[knowledge.NAME]` that it corresponds to."""
        options = self.chunking
        found: dict[str, str | int | float] = {"chunking": options.strategy, "chunk_tokens": options.tokens}
        if options.overlap:
            found["chunk_overlap"] = options.overlap
        if options.strategy == "sentences":
            found["chunk_sentences"] = options.sentences
        if options.strategy == "parents":
            found["parent_tokens"] = options.parent_tokens
        return {**found, "vector_weight": self.vector_weight}


class Row(Struct, frozen=True):
    """A candidate with its figures on the questions that choose and on those that were held out."""

    candidate: Candidate
    passages: int
    choosing: Figures
    held_out: Figures


class TuneReport(Struct, frozen=True, kw_only=True):
    """The table, the setting that is in use, and the one that the choosing half likes best. `depths` are of the one
    that is taken: `depth` is how many passages an answer is made from now, `best_depth` how many are enough."""

    questions: int
    origin: Origin
    skipped: int
    rows: tuple[Row, ...]
    present: int
    best: int
    depths: tuple[Depth, ...] = ()
    depth: int = 0
    best_depth: int = 0

    @property
    def gain(self) -> float:
        """What the best is worth above the present one, on questions that did not choose it."""
        return self.rows[self.best].held_out.worth - self.rows[self.present].held_out.worth

    @property
    def switches(self) -> bool:
        return self.best != self.present and self.gain >= LEAST_GAIN
