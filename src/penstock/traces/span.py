"""The values of a trace: what is recorded of one request, and of each step inside it.

Times are UTC microseconds, durations microseconds, money nano-dollars. `None` is unknown.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, Self

import msgspec
from msgspec import Raw, Struct

from penstock.exchange import Operation, Purpose
from penstock.seams import SpanKind

SpanStatus = Literal["ok", "error", "unfinished"]
TraceStatus = Literal["ok", "error", "cancelled"]


class SpanRecord(Struct, frozen=True, kw_only=True):
    """One timed step. `unfinished` was still open when its trace ended.

    `attributes` is a JSON object under the names of the OpenTelemetry GenAI conventions, or OpenInference's
    where those have none (see `penstock.traces.names`).
    """

    id: str
    parent_id: str | None
    name: str
    kind: SpanKind
    status: SpanStatus
    error: str | None
    started_us: int
    duration_us: int
    attributes: Raw

    def values(self) -> dict[str, Any]:
        """The attributes, decoded."""
        values: dict[str, Any] = msgspec.json.decode(self.attributes)
        return values


class TraceSummary(Struct, frozen=True, kw_only=True):
    """One request as a line of a list.

    `status` "cancelled" means that the client left. `first_chunk_us` is the time to the first piece of the
    answer, evidence included. Token classes are disjoint, as in `Usage`. `answered` is false where the knowledge
    held no answer, `None` where no knowledge was asked; `grounded` is the share of the answer's claims that a
    passage supports, 0 to 1, `None` where nothing was claimed. `score` is the mean of the feedback, -1 to 1.
    `question` and `answer` are previews.
    """

    id: str
    project_id: str
    operation: Operation
    purpose: Purpose
    model: str
    release_id: str
    knowledge: str | None = None
    generation: int | None = None
    status: TraceStatus
    error_code: str | None = None
    error_message: str | None = None
    started_us: int
    duration_us: int
    first_chunk_us: int | None = None
    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_nanos: int | None = None
    answered: bool | None = None
    grounded: float | None = None
    score: float | None = None
    question: str | None = None
    answer: str | None = None
    user: str | None = None
    session: str | None = None


TRACE_SIZE = 2000
SPAN_SIZE = 500
"""About how many bytes a trace and a step keep in memory, beside their texts."""


class TraceRecord(Struct, frozen=True):
    """A whole request as the writer stores it: rows, which are made and stored in a fraction of the time of values.

    `row` is the place in the order of all and the fields of a `TraceSummary`, in their order; each of `span_rows`
    the same place, the project, and the fields of a `SpanRecord`.
    """

    row: tuple[Any, ...]
    span_rows: list[tuple[Any, ...]]

    @property
    def size(self) -> int:
        return TRACE_SIZE + sum([SPAN_SIZE + len(row[-1]) for row in self.span_rows])

    def record(self) -> Self:
        return self

    @property
    def key(self) -> int:
        key: int = self.row[0]
        return key

    @property
    def id(self) -> str:
        trace_id: str = self.row[1]
        return trace_id

    @property
    def project_id(self) -> str:
        project_id: str = self.row[2]
        return project_id

    @property
    def summary(self) -> TraceSummary:
        return TraceSummary(**dict(zip(TraceSummary.__struct_fields__, self.row[1:], strict=True)))

    @property
    def spans(self) -> tuple[SpanRecord, ...]:
        names = SpanRecord.__struct_fields__
        found = [dict(zip(names, row[2:], strict=True)) for row in self.span_rows]
        return tuple(SpanRecord(**{**row, "attributes": Raw(row["attributes"])}) for row in found)


QUESTION = 1 + TraceSummary.__struct_fields__.index("question")
"""The place of the question in the row of a record."""


class Ended(Protocol):
    """A request that is over: its rows are made when they are written. `size` is about its bytes in memory."""

    @property
    def id(self) -> str: ...

    @property
    def size(self) -> int: ...

    def record(self) -> TraceRecord: ...


class ModelScore(Struct, frozen=True):
    """What people thought of the answers of one model: how many they judged, and the scores' mean and variance."""

    model: str
    count: int
    mean: float
    variance: float


class ContextUse(Struct, frozen=True):
    """What became of the passages that were sent to a model: `answers` of one app, counted over the newest ones.

    `passages` were sent, no sentence of the answer stands on `unused` of them, with `unused_chars` characters.
    """

    app: str
    answers: int
    passages: int
    unused: int
    unused_chars: int


class Feedback(Struct, frozen=True, kw_only=True):
    """What somebody thought of an answer: `score` from -1 (bad) to 1 (good).

    One per trace, `name` (what is judged) and `user`: giving it again replaces it.
    """

    trace_id: str
    score: float
    name: str = "thumbs"
    user: str = ""
    comment: str | None = None
    created_us: int = 0


class TraceDetail(Struct, frozen=True, kw_only=True):
    """One request with everything recorded of it; `spans` in the order in which they started."""

    trace: TraceSummary
    spans: tuple[SpanRecord, ...]
    feedback: tuple[Feedback, ...]


class TraceFilter(Struct, frozen=True, kw_only=True):
    """Which traces to list; `None` does not filter.

    `since_us` is inclusive, `until_us` exclusive, both about the start. `text` is found anywhere in the preview
    of the question, in any case. `feedback` "none" means that nobody has judged the answer. `grounded_below` lists
    answers of whose claims a smaller share is supported; it is at most 1.
    """

    project_id: str
    status: TraceStatus | None = None
    model: str | None = None
    release_id: str | None = None
    answered: bool | None = None
    grounded_below: float | None = None
    feedback: Literal["positive", "negative", "any", "none"] | None = None
    text: str | None = None
    session: str | None = None
    user: str | None = None
    min_duration_us: int | None = None
    since_us: int | None = None
    until_us: int | None = None


class TracePage(Struct, frozen=True):
    """Traces, newest start first. `next_cursor` gives the page after this one; `None` on the last."""

    traces: tuple[TraceSummary, ...]
    next_cursor: str | None
