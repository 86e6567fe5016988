"""Requests to record, for the tests of traces and of what shows them."""

from typing import Any

from penstock.exchange import LOCAL_PROJECT, Chunk, Exchange, Message, Usage
from penstock.ids import new_id, new_trace_id
from penstock.traces.recorder import ActiveTrace
from penstock.traces.span import TraceFilter
from penstock.traces.store import TraceStore

EVERYTHING = TraceFilter(project_id=LOCAL_PROJECT)


def exchange(question: str = "Where is the gate?", **fields: Any) -> Exchange:
    fields.setdefault("model", "docs")
    fields.setdefault("messages", (Message("user", question),))
    return Exchange(id=new_id("req"), trace_id=new_trace_id(), **fields)


def answered_trace(store: TraceStore, question: str = "Where is the gate?", **fields: Any) -> ActiveTrace:
    """A trace of one step below the root and a whole answer, to be finished."""
    trace = store.begin(exchange(question, **fields))
    with trace.span("generate", "llm", model="smollm2"):
        trace.saw_chunk(Chunk(text="Above "))
    trace.saw_chunk(Chunk(text="the turbine.", finish_reason="stop", usage=Usage(12, 3)))
    return trace


def record(store: TraceStore, question: str = "Where is the gate?", **fields: Any) -> str:
    trace = answered_trace(store, question, **fields)
    trace.finish()
    return trace.id
