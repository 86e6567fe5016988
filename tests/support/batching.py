"""What tests of batches share: lines, and the official client's way through a batch."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from openai import AsyncOpenAI
from openai.types import Batch

CHAT = "/v1/chat/completions"


def line(custom_id: str, text: str = "Say it", model: str = "big", **fields: Any) -> dict[str, Any]:
    """A line of the input; `fields` take the place of its own."""
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body} | fields


def lines(count: int) -> list[dict[str, Any]]:
    return [line(f"line-{number}", f"number {number}") for number in range(count)]


async def send(client: AsyncOpenAI, requests: Sequence[dict[str, Any] | str], **fields: Any) -> str:
    """The id of a file of these lines; text is sent as it is."""
    data = "\n".join(each if isinstance(each, str) else json.dumps(each) for each in requests)
    given: dict[str, Any] = {"purpose": "batch"} | fields
    return (await client.files.create(file=("requests.jsonl", data.encode()), **given)).id


async def begin(client: AsyncOpenAI, requests: Sequence[dict[str, Any] | str], **fields: Any) -> Batch:
    given: dict[str, Any] = {"endpoint": CHAT, "completion_window": "24h"} | fields
    return await client.batches.create(input_file_id=await send(client, requests), **given)


async def ended(client: AsyncOpenAI, id: str) -> Batch:
    async with asyncio.timeout(30):
        while True:
            batch = await client.batches.retrieve(id)
            if batch.status in ("completed", "failed", "cancelled", "expired"):
                return batch
            await asyncio.sleep(0.02)


async def content(client: AsyncOpenAI, id: str | None) -> list[dict[str, Any]]:
    """The lines of an output or error file; none where there is no file."""
    if id is None:
        return []
    answer = await client.files.content(id)
    assert answer.text.endswith("\n")
    return [json.loads(each) for each in answer.text.splitlines()]


def counts(batch: Batch) -> tuple[int, int, int]:
    """Lines in all, completed, failed."""
    found = batch.request_counts
    assert found is not None
    return found.total, found.completed, found.failed
