"""One trace: its figures, the waterfall of its spans, the evidence, and the prompt as it was sent."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from penstock.access.routes import principal_of
from penstock.console import formats
from penstock.console.claims import ClaimRow, claims
from penstock.console.evidence import EvidenceRow, evidence
from penstock.console.rendering import View, page_route, render
from penstock.errors import NotFound
from penstock.gateway.services import Services
from penstock.knowledge.base import KnowledgeBase, Reader
from penstock.knowledge.readers import reader_of
from penstock.seams import SpanKind
from penstock.traces.span import Feedback, SpanRecord, TraceDetail, TraceSummary

TRACE = View("trace.html", "Traces")
DEEPEST = 4
NARROWEST = 0.4
COLOURS: dict[SpanKind, str] = {
    "chain": "chain",
    "llm": "write",
    "embedding": "find",
    "retriever": "find",
    "reranker": "find",
}
MESSAGES = "gen_ai.input.messages"


class Fact(Struct, frozen=True, kw_only=True):
    """One figure in the head of the page; `mono` ones are ids."""

    name: str
    value: str
    mono: bool = False


class SpanRow(Struct, frozen=True, kw_only=True):
    """One line of the waterfall. `left` and `width` are percent of the whole trace."""

    name: str
    kind: str
    colour: str
    depth: int
    left: str
    width: str
    duration_us: int
    offset_us: int
    failed: bool
    unfinished: bool
    error: str | None
    attributes: str


class RoundRow(Struct, frozen=True, kw_only=True):
    """One search of an answer: what for and why, and what was decided after it."""

    query: str
    reason: str
    decision: str
    next_query: str


class MessageRow(Struct, frozen=True):
    role: str
    text: str


class TracePage(Struct, frozen=True, kw_only=True):
    """`answer` is the whole answer where it was recorded. `curl` is "" where the request cannot be sent again."""

    title: str
    trace: TraceSummary
    answer: str
    facts: tuple[Fact, ...]
    spans: tuple[SpanRow, ...]
    rounds: tuple[RoundRow, ...]
    claims: tuple[ClaimRow, ...]
    evidence: tuple[EvidenceRow, ...]
    messages: tuple[MessageRow, ...]
    messages_title: str
    feedback: tuple[Feedback, ...]
    curl: str


async def show(request: Request) -> Response:
    services: Services = request.app.state.services
    trace_id = request.path_params["trace_id"]
    principal = principal_of(request)
    detail = await services.traces.get(trace_id, principal.project_id)
    if detail is None:
        raise NotFound(
            f"There is no trace {trace_id[:80]!r}.",
            hint="Traces older than the retention are deleted; the list has those that are kept.",
        )
    base = services.readable(principal).get(detail.trace.knowledge or "")
    reader = reader_of(principal)
    return render(request, TRACE, await asyncio.to_thread(page_of, detail, base, reader))


def page_of(detail: TraceDetail, base: KnowledgeBase | None, reader: Reader) -> TracePage:
    values = {span.id: span.values() for span in detail.spans}
    root = next((span for span in detail.spans if span.parent_id not in values), None)
    said = values[root.id] if root else {}
    sent = sent_messages(detail.spans, values)
    received = messages_of(said.get(MESSAGES))
    answer = str(said.get("output.value") or detail.trace.answer or "")
    return TracePage(
        title="Trace",
        trace=detail.trace,
        answer=answer,
        facts=tuple(facts(detail.trace)),
        spans=tuple(waterfall(detail, values)),
        rounds=tuple(rounds(values.values())),
        claims=tuple(claims(answer, values.values(), base, reader)),
        evidence=tuple(evidence(detail.trace, values.values(), base, reader)),
        messages=sent or received,
        messages_title="Prompt as sent to the model" if sent else "Messages as they came",
        feedback=detail.feedback,
        curl=curl(detail.trace.model, received) if detail.trace.operation == "chat" else "",
    )


def facts(trace: TraceSummary) -> Iterable[Fact]:
    yield Fact(name="Answered by", value=trace.model or formats.UNKNOWN)
    yield Fact(name="Took", value=formats.duration(trace.duration_us))
    yield Fact(name="First piece after", value=formats.duration(trace.first_chunk_us))
    if trace.input_tokens is not None:
        cached = f" + {trace.cached_input_tokens:,} cached" if trace.cached_input_tokens else ""
        yield Fact(name="Tokens in", value=f"{trace.input_tokens:,}{cached}")
        yield Fact(
            name="Tokens out", value=formats.count((trace.output_tokens or 0) + (trace.reasoning_tokens or 0))
        )
    yield Fact(name="Cost", value=formats.cost(trace.cost_nanos) if trace.cost_nanos is not None else "not priced")
    if trace.knowledge:
        yield Fact(name="Knowledge", value=trace.knowledge)
        yield Fact(name="Generation", value=formats.count(trace.generation))
    if trace.grounded is not None:
        yield Fact(name="Grounded", value=formats.share(trace.grounded))
    if trace.release_id:
        yield Fact(name="Release", value=trace.release_id, mono=True)
    if trace.user:
        yield Fact(name="User", value=trace.user)
    yield Fact(name="Trace", value=trace.id, mono=True)


def rounds(spans: Iterable[Mapping[str, Any]]) -> Iterable[RoundRow]:
    """The searches of an answer in their order; none where the reasons were not recorded."""
    for values in spans:
        if (reason := values.get("penstock.round.reason")) is not None:
            yield RoundRow(
                query=str(values.get("input.value", "")),
                reason=str(reason),
                decision=str(values.get("penstock.round.decision", "")),
                next_query=str(values.get("penstock.round.next") or ""),
            )


def waterfall(detail: TraceDetail, values: Mapping[str, Mapping[str, Any]]) -> Iterable[SpanRow]:
    """The spans as a tree, children below their parent, both in the order in which they started."""
    below: dict[str | None, list[SpanRecord]] = {}
    for span in detail.spans:
        below.setdefault(span.parent_id if span.parent_id in values else None, []).append(span)
    ends = [span.started_us + span.duration_us for span in detail.spans]
    whole = max(1, max(ends, default=0) - detail.trace.started_us)
    waiting = [(span, 0) for span in reversed(below.get(None, []))]
    while waiting:
        span, depth = waiting.pop()
        yield span_row(span, min(depth, DEEPEST), detail.trace.started_us, whole, values[span.id])
        waiting += [(child, depth + 1) for child in reversed(below.get(span.id, []))]


def span_row(span: SpanRecord, depth: int, started_us: int, whole: int, values: Mapping[str, Any]) -> SpanRow:
    offset = max(0, span.started_us - started_us)
    left = min(100 - NARROWEST, 100 * offset / whole)
    return SpanRow(
        name=span.name,
        kind=formats.words(span.kind),
        colour=COLOURS.get(span.kind, "other"),
        depth=depth,
        left=f"{left:.2f}",
        width=f"{min(100 - left, max(NARROWEST, 100 * span.duration_us / whole)):.2f}",
        duration_us=span.duration_us,
        offset_us=offset,
        failed=span.status == "error",
        unfinished=span.status == "unfinished",
        error=span.error,
        attributes=json.dumps(values, indent=2, ensure_ascii=False) if values else "",
    )


def sent_messages(spans: Sequence[SpanRecord], values: Mapping[str, Mapping[str, Any]]) -> tuple[MessageRow, ...]:
    """What the model got: the messages of the last model call, else of the prompt that was made for it."""
    for kind in ("llm", "prompt"):
        for span in reversed(spans):
            found = messages_of(values[span.id].get(MESSAGES)) if span.kind == kind else ()
            if found:
                return found
    return ()


def messages_of(recorded: Any) -> tuple[MessageRow, ...]:
    """Messages as the conventions record them; what was cut away is left out."""
    if not isinstance(recorded, list):
        return ()
    return tuple(
        MessageRow(str(message.get("role", "")), text_of(message.get("parts")))
        for message in recorded
        if isinstance(message, dict)
    )


def text_of(parts: Any) -> str:
    if not isinstance(parts, list):
        return str(parts or "")
    return "\n".join(str(part.get("content", "")) for part in parts if isinstance(part, dict))


def curl(model: str, messages: Sequence[MessageRow]) -> str:
    """The request again, for a terminal; the page's script puts the server's address in."""
    if not messages:
        return ""
    body = {"model": model, "messages": [{"role": row.role, "content": row.text} for row in messages]}
    quoted = shlex.quote(msgspec.json.encode(body).decode())
    return f"curl {{origin}}/v1/chat/completions -H 'Content-Type: application/json' -d {quoted}"


def routes() -> list[BaseRoute]:
    return [page_route("/traces/{trace_id}", show, role="viewer")]
