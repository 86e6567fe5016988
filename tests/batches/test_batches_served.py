"""Files and batches over loopback, by the official client."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI, BadRequestError, ConflictError, NotFoundError
from openai.types import Batch
from support.gateway_site import Site, remote_model, site

from penstock.config.batches import BatchSettings
from penstock.testing import ProviderServer

CHAT = "/v1/chat/completions"


def line(custom_id: str, text: str = "Say it", **fields: Any) -> dict[str, Any]:
    body = {"model": "big", "messages": [{"role": "user", "content": text}]} | fields.pop("body", {})
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body} | fields


def lines(count: int) -> list[dict[str, Any]]:
    return [line(f"line-{number}", f"number {number}") for number in range(count)]


async def begin(client: AsyncOpenAI, requests: Sequence[Any], **fields: Any) -> Batch:
    data = "\n".join(each if isinstance(each, str) else json.dumps(each) for each in requests)
    file = await client.files.create(file=("requests.jsonl", data.encode()), purpose="batch")
    given: dict[str, Any] = {"endpoint": CHAT, "completion_window": "24h"} | fields
    return await client.batches.create(input_file_id=file.id, **given)


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


async def test_a_batch_from_its_file_to_its_answers(tmp_path: Path) -> None:
    async with ProviderServer() as upstream, site(tmp_path, remote_model(upstream), batches=BatchSettings()) as it:
        client = it.client()
        batch = await begin(client, lines(20), metadata={"night": "1"})
        assert (batch.status, batch.metadata, batch.object) == ("validating", {"night": "1"}, "batch")
        batch = await ended(client, batch.id)
        assert batch.status == "completed", batch
        assert batch.request_counts is not None
        assert (batch.request_counts.total, batch.request_counts.completed) == (20, 20)
        assert batch.error_file_id is None
        answers = await content(client, batch.output_file_id)
        assert [answer["custom_id"] for answer in answers] == [f"line-{number}" for number in range(20)]
        for number, answer in enumerate(answers):
            assert answer["error"] is None
            assert answer["response"]["status_code"] == 200
            said = answer["response"]["body"]["choices"][0]["message"]["content"]
            assert said == f"number {number}"
        assert len({answer["id"] for answer in answers}) == len(upstream.received) == 20
