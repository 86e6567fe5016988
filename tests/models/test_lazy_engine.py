"""An engine that starts with its first request: one start for all who wait, and another try after a failure."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock.config import ModelSettings
from penstock.errors import ConfigError, DeadlineExceeded, Unavailable
from penstock.exchange import Chunk, Exchange
from penstock.ids import new_id, new_trace_id
from penstock.models.engines.lazy import LazyEngine
from penstock.models.local import context_of, engine_settings
from penstock.seams import EngineHealth
from penstock.testing import FakeProvider


class GatedEngine(FakeProvider):
    """A fake engine whose start waits for `gate`, and fails as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__("hello", name="gated")
        self.gate = asyncio.Event()
        self.starting = asyncio.Event()
        self.failures = failures
        self.starts = 0
        self.closed = 0

    async def start(self) -> None:
        self.starts += 1
        self.starting.set()
        await self.gate.wait()
        if self.starts <= self.failures:
            raise Unavailable("no memory left.")

    def health(self) -> EngineHealth:
        return EngineHealth(state="ready", model=self.name)

    async def count_tokens(self, exchange: Exchange) -> int:
        return 7

    async def close(self) -> None:
        self.closed += 1


def exchange(deadline: float = float("inf")) -> Exchange:
    return Exchange(id=new_id("req"), trace_id=new_trace_id(), model="gated", deadline=deadline)


async def text_of(chunks: AsyncIterator[Chunk]) -> str:
    return "".join([chunk.text async for chunk in chunks])


def lazy(engine: GatedEngine) -> LazyEngine:
    async def make() -> GatedEngine:
        return engine

    return LazyEngine("gated", make)


async def test_all_who_wait_share_one_start() -> None:
    engine = GatedEngine()
    around = lazy(engine)
    assert around.health().state == "stopped"
    asked = [asyncio.create_task(text_of(around.answer(exchange()))) for _ in range(5)]
    await engine.starting.wait()
    assert around.health().state == "starting"
    engine.gate.set()
    assert await asyncio.gather(*asked) == ["hello"] * 5
    assert engine.starts == 1
    assert await around.count_tokens(exchange()) == 7
    assert around.health().state == "ready"
    await around.close()
    assert engine.closed == 1


async def test_one_who_gives_up_does_not_stop_the_start() -> None:
    engine = GatedEngine()
    around = lazy(engine)
    with pytest.raises(DeadlineExceeded, match="'gated' was still loading at the deadline"):
        await text_of(around.answer(exchange(deadline=time.monotonic())))
    engine.gate.set()
    assert await text_of(around.answer(exchange())) == "hello"
    assert engine.starts == 1


async def test_a_failed_start_is_said_and_tried_again() -> None:
    engine = GatedEngine(failures=1)
    engine.gate.set()
    around = lazy(engine)
    with pytest.raises(Unavailable, match="no memory left"):
        await text_of(around.answer(exchange()))
    assert around.health() == EngineHealth(state="stopped", model="gated", detail="no memory left.")
    assert engine.closed == 1
    assert await text_of(around.answer(exchange())) == "hello"


async def test_closing_ends_a_start() -> None:
    engine = GatedEngine()
    around = lazy(engine)
    asked = asyncio.create_task(text_of(around.answer(exchange())))
    await engine.starting.wait()
    await around.close()
    assert engine.closed == 1
    with pytest.raises(asyncio.CancelledError):
        await asked


def test_the_context_is_read_off_the_file(smollm2_file: Path) -> None:
    assert context_of(smollm2_file) == 8192
    settings = ModelSettings(use=f"file:{smollm2_file}", context=1024)
    assert engine_settings("mine", settings, smollm2_file.parent).context == 1024


def test_a_folder_without_a_gguf_file_is_said_as_such(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no \.gguf file"):
        engine_settings("mine", ModelSettings(use="smollm2-135m-instruct"), tmp_path)
