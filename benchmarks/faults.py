"""What a client sees, what is billed and what load a provider gets when it fails in every way the simulator knows.

Each fault is tried three times: at a model that stands alone, at one that falls back to a provider that is well,
and at one that falls back to a provider with the same fault. Where everything fails, the providers together must
get at most 1.1 times the load; and what a client was given must be the beginning of one answer. All is streamed.

Two faults say something else. A request that is too long for one model goes to a longer one, which is no
repetition; and a kept connection that is closed under a request ("stale_connection") is the connection's own
matter: the request is sent again over a new one, as HTTP has it, and only the simulator counts both.

    python benchmarks/faults.py [--requests 120] [--fault stall …]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import aiohttp
from msgspec import Struct

from penstock.config import load
from penstock.exchange import LOCAL_PROJECT
from penstock.http.serve import HttpServer, ServerAddress
from penstock.http.server import build
from penstock.platform import Platform
from penstock.testing import Fault, Plan, ProviderServer
from penstock.testing.faults import FaultKind
from penstock.traces.span import TraceFilter

AT_ONCE = 8
GOAL = 1.1
QUESTION = "Say these seven words one by one."
ANSWER = QUESTION
SETTINGS = """
[app]
name = "gate"
[models.main]
use = "corp/main"
base_url = "{failing}"
first_token_seconds = 0.2
between_tokens_seconds = 0.2
total_seconds = 5.0
{fallback}
[models.backup]
use = "corp/backup"
base_url = "{well}"
[prices."corp/main"]
input = 1.0
output = 2.0
[prices."corp/backup"]
input = 10.0
output = 20.0
[knowledge]
"""


class Seen(Struct, frozen=True):
    """What one client saw: how its answer ended, and the text that it was given."""

    end: str
    text: str


class Outcome(Struct, frozen=True):
    """All requests against one fault. `load` is requests at the providers for each of a client."""

    seen: dict[str, int]
    spliced: int
    billed: int
    estimated: int
    unknown: int
    dollars: float
    load: float


WAYS = ("alone", "falls back", "all fail")
OTHERWISE = ("stale_connection", "context_length")


async def measure(kind: str, requests: int, way: str) -> Outcome:
    fault = Plan(fault=Fault(kind=kind, seconds=0.02, after=3))  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as name:
        others = [fault] if way == "all fail" else []
        async with ProviderServer(faults=[fault]) as failing, ProviderServer(faults=others) as well:
            folder = Path(name) / "gate"
            folder.mkdir()
            fallback = 'fallback = ["backup"]\nlonger = "backup"' if way != "alone" else ""
            text = SETTINGS.format(failing=failing.base_url, well=well.base_url, fallback=fallback)
            (folder / "penstock.toml").write_text(text)
            async with Platform.open(load(folder)) as platform:
                server = HttpServer(build(platform.services), ServerAddress(port=0))
                await server.start()
                try:
                    found = await ask_all(server.url, requests)
                finally:
                    await server.stop()
                billed = await bills(platform)
            load_ = (len(failing.received) + len(well.received)) / requests
    spliced = sum(not ANSWER.startswith(each.text) for each in found)
    return Outcome(dict(Counter(each.end for each in found).most_common()), spliced, *billed, load_)


async def ask_all(url: str, requests: int) -> list[Seen]:
    """`requests` streamed requests, `AT_ONCE` at a time."""
    left = iter(range(requests))
    found: list[Seen] = []

    async def client(session: aiohttp.ClientSession) -> None:
        for _ in left:
            found.append(await ask(session, url))

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(client(session) for _ in range(AT_ONCE)))
    return found


async def ask(session: aiohttp.ClientSession, url: str) -> Seen:
    body = {"model": "main", "stream": True, "messages": [{"role": "user", "content": QUESTION}]}
    async with session.post(f"{url}/v1/chat/completions", json=body) as response:
        data = await response.read()
        if response.status != 200:
            return Seen(f"HTTP {response.status} {json.loads(data)['error']['code']}", "")
    text, end = "", "no end"
    for line in data.split(b"\n\n"):
        event = line.removeprefix(b"data: ")
        if event == b"[DONE]":
            end = "answered"
        elif event:
            text, end = read(event, text, end)
    return Seen(end, text)


def read(event: bytes, text: str, end: str) -> tuple[str, str]:
    try:
        value: dict[str, Any] = json.loads(event)
    except ValueError:
        return text, end  # passed on as it came
    if "error" in value:
        return text, f"broken off: {value['error'].get('code') or value['error'].get('type')}"
    for choice in value.get("choices") or ():
        text += (choice.get("delta") or {}).get("content") or ""
    return text, end


async def bills(platform: Platform) -> tuple[int, int, int, float]:
    """Requests with a known cost, those of them that were reckoned, those without, and the dollars of all."""
    await platform.traces.flush()
    known = estimated = unknown = nanos = 0
    cursor: str | None = None
    while True:
        page = await platform.traces.list(TraceFilter(project_id=LOCAL_PROJECT), 200, cursor)
        for trace in page.traces:
            if trace.cost_nanos is None:
                unknown += 1
                continue
            known += 1
            nanos += trace.cost_nanos
            detail = await platform.traces.get(trace.id, LOCAL_PROJECT)
            values = [span.values() for span in detail.spans] if detail else []
            estimated += any(each.get("penstock.usage.estimated") for each in values)
        if (cursor := page.next_cursor) is None:
            return known, estimated, unknown, nanos / 1e9


def row(kind: str, way: str, outcome: Outcome) -> str:
    seen = ", ".join(f"{count} {what}" for what, count in outcome.seen.items())
    billed = f"{outcome.billed} (${outcome.dollars:.5f}" + (
        f", {outcome.estimated} reckoned)" if outcome.estimated else ")"
    )
    return f"{kind:<17} {way:<10} {outcome.load:>5.2f} {billed:<32} {seen}"


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=120)
    parser.add_argument("--fault", nargs="*", choices=get_args(FaultKind), default=get_args(FaultKind))
    options = parser.parse_args()
    print(f"{options.requests} requests, {AT_ONCE} at a time\n")
    print(f"{'fault':<17} {'model':<10} {'load':>5} {'billed':<32} clients saw")
    wrong = []
    for kind in options.fault:
        for way in WAYS:
            outcome = await measure(kind, options.requests, way)
            print(row(kind, way, outcome), flush=True)
            if outcome.spliced:
                wrong.append(f"{kind}: {outcome.spliced} answers are not the beginning of one")
            if outcome.load > GOAL and way != "falls back" and kind not in OTHERWISE:
                wrong.append(f"{kind}, {way}: the providers got {outcome.load:.2f} times the load")
    print(
        "\n" + "\n".join(wrong or [f"No answer was spliced; where all fail, the load stays within {GOAL} times."])
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
