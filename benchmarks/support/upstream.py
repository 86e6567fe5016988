"""A provider that answers at once or after a fixed time, and costs next to nothing.

    python benchmarks/support/upstream.py PORT [--delay SECONDS] [--events N --every SECONDS]

Without `--events` every request gets one whole chat completion; with them, a stream of so many events.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

import uvloop

ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "gpt-4.1-mini",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello! How can I assist you today?"},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 19,
            "completion_tokens": 10,
            "total_tokens": 29,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }
).encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def event(number: int) -> bytes:
    """One event; its content is the time it was sent, in seconds."""
    choice = {"index": 0, "delta": {"content": f"{time.time():.6f} "}, "finish_reason": None}
    return framed({"choices": [choice]})


def framed(value: object) -> bytes:
    common = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m"}
    data = value if isinstance(value, str) else json.dumps(common | value)  # type: ignore[operator]
    return f"data: {data}\n\n".encode()


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Upstream(asyncio.Protocol):
    """Requests one after another on one connection; their bodies have a Content-Length."""

    delay = 0.0
    events = 0
    every = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.received = b""
        self.loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, found, body = self.received.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        at = lower.find(b"content-length:")
        length = int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(body) < length:
            return
        self.received = body[length:]
        if self.delay:
            self.loop.call_later(self.delay, self.answer)
        else:
            self.answer()

    def answer(self) -> None:
        if self.transport.is_closing():
            return
        if self.events:
            self.transport.write(STREAM_HEAD)
            self.step(0, self.loop.time())
        else:
            self.transport.write(HEAD % len(ANSWER) + ANSWER)

    def step(self, number: int, started: float) -> None:
        if self.transport.is_closing():
            return
        if number < self.events:
            self.transport.write(chunked(event(number)))
            self.loop.call_at(started + (number + 1) * self.every, self.step, number + 1, started)
            return
        last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        usage = {
            "choices": [],
            "usage": {"prompt_tokens": 19, "completion_tokens": number, "total_tokens": 19 + number},
        }
        data = framed(last) + framed(usage) + framed("[DONE]")
        self.transport.write(chunked(data) + b"0\r\n\r\n")


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--events", type=int, default=0)
    parser.add_argument("--every", type=float, default=0.05)
    given = parser.parse_args()
    Upstream.delay, Upstream.events, Upstream.every = given.delay, given.events, given.every
    uvloop.run(serve(given.port))
