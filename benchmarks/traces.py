"""How many spans a second can be recorded and read again, and how quickly traces are found among many.

One process records whole requests through the recorder, as the gateway does: five spans each, the prompt and the
answer among their attributes. The clock stops when the last trace can be read. Then the store is listed.

    python benchmarks/traces.py [--traces 60000] [--folder FOLDER]

`--folder` is where the database is made; its disk is what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path

from penstock.errors import Unavailable
from penstock.exchange import Chunk, Exchange, Grounding, Message, Usage
from penstock.ids import new_id, new_trace_id
from penstock.traces.span import TraceFilter
from penstock.traces.store import TraceStore

SPANS = 5
PASSAGE = "Water enters the penstock under pressure and is held there by a gate until the turbine asks for it. " * 5
GOAL = 20_000
LIST_GOAL_MS = 100.0


def record(store: TraceStore, number: int) -> str:
    """One grounded request, as it leaves its trace."""
    question = f"What holds the water of turbine {number} back, and where does it come from?"
    exchange = Exchange(
        id=new_id("req"), trace_id=new_trace_id(), model="docs", messages=(Message("user", question),)
    )
    trace = store.begin(exchange)
    trace.set_release("rel_0123456789abcdef")
    with trace.span("embed", "embedding", model="all-minilm-l6-v2", input=question):
        pass
    with trace.span("search", "retriever", query=question, limit=5) as search:
        search.set(hits=[{"document": "turbines.md", "score": 0.9, "start": 0, "end": 500} for _ in range(5)])
    prompt = (Message("system", "Answer from the passages only."), Message("user", PASSAGE + question))
    with trace.span("prompt", "prompt", messages=prompt):
        pass
    with trace.span("compose", "llm", model="smollm2-135m-instruct", usage=Usage(180, 40)):
        trace.saw_chunk(Chunk(text="A gate holds it back. "))
    answered = number % 20 != 0
    grounding = Grounding(
        stage="answer", mode="compose", knowledge="docs", generation=3, answered=answered, score=0.8
    )
    trace.saw_chunk(Chunk(text="It comes from the penstock.", finish_reason="stop", grounding=grounding))
    trace.finish(Unavailable("The engine stopped.") if number % 1000 == 7 else None, Usage(180, 40))
    return exchange.trace_id


async def measure_recording(store: TraceStore, traces: int) -> dict[str, float]:
    """Records, waiting only where the queue is half full, until all can be read."""
    busy = 0.0
    last = ""
    started = time.perf_counter()
    for number in range(traces):
        before = time.perf_counter()
        last = record(store, number)
        busy += time.perf_counter() - before
        if number % 1000 == 999 and store.stats().queued_bytes > 32 << 20:
            await store.flush(60)
    await store.flush(60)
    if await store.get(last, "local") is None:
        raise SystemExit("the last trace cannot be read")
    took = time.perf_counter() - started
    return {
        "spans_per_second": round(SPANS * traces / took),
        "microseconds_per_request": round(1e6 * busy / traces, 1),
        "dropped": store.stats().dropped,
    }


async def measure_delay(store: TraceStore) -> float:
    """Milliseconds from the end of a request until its trace is listed; the worst of 20."""
    newest = TraceFilter(project_id="local")
    worst = 0.0
    for number in range(20):
        trace_id = record(store, number)
        started = time.perf_counter()
        while (await store.list(newest, 1)).traces[0].id != trace_id:
            pass
        worst = max(worst, time.perf_counter() - started)
    return round(1000 * worst, 1)


async def measure_lists(store: TraceStore) -> dict[str, float]:
    """Milliseconds for a page of 50 under each filter, the median of 9."""
    filters = {
        "newest": TraceFilter(project_id="local"),
        "errors": TraceFilter(project_id="local", status="error"),
        "unanswered": TraceFilter(project_id="local", answered=False),
        "text": TraceFilter(project_id="local", text="turbine 1234"),
        "common_text": TraceFilter(project_id="local", text="turbine"),
        "absent_text": TraceFilter(project_id="local", text="nobody asked this"),
        "model_errors": TraceFilter(project_id="local", model="docs", status="error"),
        "slow": TraceFilter(project_id="local", min_duration_us=10_000_000),
    }
    figures = {}
    for name, wanted in filters.items():
        times = []
        for _ in range(9):
            started = time.perf_counter()
            await store.list(wanted)
            times.append(time.perf_counter() - started)
        figures[f"list_{name}_ms"] = round(1000 * statistics.median(times), 2)
    return figures


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=int, default=60_000)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        store = TraceStore.open(Path(folder) / "traces.db")
        figures = await measure_recording(store, options.traces)
        figures["readable_after_ms"] = await measure_delay(store)
        figures |= await measure_lists(store)
        store.close()
        figures["bytes_per_span"] = round((Path(folder) / "traces.db").stat().st_size / SPANS / options.traces)
    slowest = max(value for name, value in figures.items() if name.startswith("list_"))
    goals = [
        ("spans per second, readable", GOAL, figures["spans_per_second"], figures["spans_per_second"] >= GOAL),
        ("milliseconds until readable", 1000, figures["readable_after_ms"], figures["readable_after_ms"] <= 1000),
        ("milliseconds for the slowest list", LIST_GOAL_MS, slowest, slowest <= LIST_GOAL_MS),
    ]
    names = ("name", "goal", "value", "met")
    print(
        json.dumps(
            {
                "name": "traces",
                "figures": figures,
                "ratios": {},
                "goals": [dict(zip(names, goal, strict=True)) for goal in goals],
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(main())
