"""What a run has done so far, and what it says of itself at its end."""

from __future__ import annotations

from penstock.errors import PenstockError
from penstock.knowledge.values import (
    FileProblem,
    IngestProgress,
    IngestSummary,
    Progress,
    SourceProblem,
    SourceRemoved,
    Status,
)


class Tally:
    """Counts what became of documents; `report` tells whoever watches."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.total = self.done = 0
        self.added = self.changed = self.unchanged = self.removed = 0
        self.chunks = self.embedded = 0
        self.statuses: dict[str, int] = {}
        self.problems: list[FileProblem] = []
        self.sources: list[SourceProblem] = []
        self.removed_sources: list[SourceRemoved] = []

    def count(self, path: str, status: Status, reason: str) -> None:
        """Notes how a document ended."""
        self.done += 1
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if status not in ("ok", "ocr"):
            self.problems.append(FileProblem(path, status, reason))

    def source(self, name: str, error: PenstockError) -> None:
        """Notes that a source, or a part of it, was left as it was."""
        self.sources.append(SourceProblem(name, str(error)))

    def report(self, current: str) -> None:
        # What is embedded is written a little later: the one count is ahead where all is new, the other where
        # the vectors are known.
        chunks = max(self.chunks, self.embedded)
        self._progress(IngestProgress(total=self.total, done=self.done, current=current, chunks=chunks))

    def summary(self, generation: int, seconds: float) -> IngestSummary:
        return IngestSummary(
            generation=generation,
            added=self.added,
            changed=self.changed,
            unchanged=self.unchanged,
            removed=self.removed,
            chunks=self.chunks,
            embedded=self.embedded,
            statuses=dict(sorted(self.statuses.items())),
            problems=tuple(self.problems),
            sources=tuple(self.sources),
            removed_sources=tuple(self.removed_sources),
            seconds=seconds,
        )
