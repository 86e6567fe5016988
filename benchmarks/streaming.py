"""What the gateway adds to streams: 200 at once, 100 events each, 20 events a second.

    python benchmarks/streaming.py [--streams 200] [--events 100] [--rate 20] [--rounds 3]

Every event carries the time at which the upstream sent it; the client, a process of its own, notes when it came,
and how long the first one took from the request. What comes through the gateway is compared with the same streams
straight from the upstream, in turn, and with a bare pass-through. Events must arrive one by one, as they were sent.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvloop
from support import servers

GOAL_MS = 2.0
BODY = b'{"model":"fast","stream":true,"messages":[{"role":"user","content":"Count."}]}'


@dataclass
class Seen:
    """Milliseconds from a request to its first event, and from the sending of later ones to their arrival.

    `merged` counts events that came together with one before.
    """

    first: list[float]
    later: list[float]
    merged: int
    events: int


async def stream(url: str, events: int, seen: Seen, start: float) -> None:
    """One stream, read off a bare socket so that the client adds nothing."""
    parts = urlsplit(url)
    await asyncio.sleep(start)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
    head += f"Authorization: Bearer {servers.KEY}\r\nContent-Length: {len(BODY)}\r\n\r\n"
    asked = time.time()
    writer.write(head.encode() + BODY)
    count = 0
    rest = b""
    while count < events:
        data = await reader.read(1 << 16)
        now = time.time()
        if not data:
            raise SystemExit(f"{url} ended after {count} events")
        pieces = (rest + data).split(b"\n\n")
        rest = pieces.pop()
        came = 0
        for piece in pieces:
            text = piece.partition(b"data: ")[2]
            if b'"content"' not in text:
                continue
            sent = float(json.loads(text)["choices"][0]["delta"]["content"])
            if count:
                seen.later.append((now - sent) * 1e3)
            else:
                seen.first.append((now - asked) * 1e3)
            count += 1
            came += 1
        seen.merged += max(0, came - 1)
        seen.events += came
    writer.close()


async def client(url: str, streams: int, events: int) -> Seen:
    seen = Seen([], [], 0, 0)
    await asyncio.gather(*(stream(url, events, seen, number * 0.002) for number in range(streams)))
    return seen


def run(url: str, streams: int, events: int) -> Seen:
    """The client in a process of its own."""
    command = [sys.executable, __file__, "--client", url, "--streams", str(streams), "--events", str(events)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return Seen(**json.loads(said))


def p(values: list[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--events", type=int, default=100)
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--client", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client:
        seen = uvloop.run(client(given.client, given.streams, given.events))
        json.dump(seen.__dict__, sys.stdout)
        return
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        every = str(1 / given.rate)
        target = stack.enter_context(servers.upstream(folder, "--events", str(given.events), "--every", every))
        urls = {"direct": target}
        urls["bare"] = stack.enter_context(servers.passthrough(folder, target))[0]
        urls["penstock"] = stack.enter_context(servers.penstock(folder, target))[0]
        added: dict[str, list[tuple[float, float, float, float]]] = {"bare": [], "penstock": []}
        for number in range(given.rounds):
            rounds = {each: run(url, given.streams, given.events) for each, url in urls.items()}
            direct = rounds["direct"]
            for each, seen in rounds.items():
                said = f"first p50 {p(seen.first, 50):.2f} p99 {p(seen.first, 99):.2f} ms"
                said += f", later p50 {p(seen.later, 50):.2f} p99 {p(seen.later, 99):.2f} ms"
                print(
                    f"round {number + 1}  {each:9} {said}, {seen.merged} of {seen.events} events merged", flush=True
                )
                if each in added:
                    figures = [p(seen.first, each_p) - p(direct.first, each_p) for each_p in (50, 99)]
                    figures += [p(seen.later, each_p) - p(direct.later, each_p) for each_p in (50, 99)]
                    added[each].append((figures[0], figures[1], figures[2], figures[3]))
        figures = {}
        for each, rows in added.items():
            first50, first99, later50, later99 = (statistics.median(column) for column in zip(*rows, strict=True))
            said = f"to first events p50 {first50:.2f} p99 {first99:.2f} ms, "
            said += f"to later ones p50 {later50:.2f} p99 {later99:.2f} ms"
            print(f"{each:9} adds {said} (goal p99 {GOAL_MS:g})")
            figures[each] = {"first_p50": first50, "first_p99": first99, "later_p50": later50, "later_p99": later99}
        print(json.dumps({"added_ms": figures}))


if __name__ == "__main__":
    main()
