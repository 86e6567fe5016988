"""What every local engine must do, run against each of them with the real default model."""

import asyncio
import contextlib
import importlib.util
import json
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import pytest_asyncio

from penstock.errors import (
    CacheExhausted,
    ContextLengthExceeded,
    DeadlineExceeded,
    EngineStopped,
    InvalidConstraint,
    InvalidRequest,
    Overloaded,
    PenstockError,
    UnsupportedFeature,
)
from penstock.exchange import Chunk, Constraint, Exchange, Message, Parameters
from penstock.models.engines import EngineKind, EngineSettings, build_engine
from penstock.seams import Engine

CONTEXT, CACHE = 2048, 1600
RUNNING, WAITING = 8, 2
CAPITAL = "What is the capital of France?"
STORY = "Tell me a long story about a river."
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "likes": {"type": "array", "items": {"enum": ["tea", "日本", 'a "quote"']}, "maxItems": 2},
    },
    "required": ["name", "age", "likes"],
}


def chat(text: str, *, stream: bool = True, deadline: float = float("inf"), **parameters: Any) -> Exchange:
    parameters.setdefault("temperature", 0.0)
    return Exchange(
        id="req_1",
        trace_id="0" * 32,
        messages=(Message("user", text),),
        parameters=Parameters(**parameters),
        stream=stream,
        deadline=deadline,
    )


def complete(prompt: str, **options: Any) -> Exchange:
    return chat("", **options).replace(operation="complete", prompt=prompt, messages=())


async def collect(engine: Engine, exchange: Exchange) -> list[Chunk]:
    return [chunk async for chunk in engine.answer(exchange)]


async def text_of(engine: Engine, exchange: Exchange) -> str:
    return "".join(chunk.text for chunk in await collect(engine, exchange))


def regex(source: str) -> Constraint:
    return Constraint("regex", source)


def schema(value: Any) -> Constraint:
    return Constraint("json_schema", json.dumps(value))


@pytest.mark.asyncio(loop_scope="class")
class EngineContract:
    kind: ClassVar[EngineKind]
    threads: ClassVar[int | None] = None

    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    @classmethod
    async def engine(cls, smollm2_file: Path) -> AsyncIterator[Engine]:
        engine = build_engine(
            cls.kind,
            EngineSettings(
                model="small",
                file=smollm2_file,
                context=CONTEXT,
                cache_tokens=CACHE,
                max_running=RUNNING,
                max_waiting=WAITING,
                default_max_tokens=96,
                threads=cls.threads,
            ),
        )
        await engine.start()
        yield engine
        await engine.close()

    async def test_a_streamed_answer_comes_in_pieces_and_ends_with_usage(self, engine: Engine) -> None:
        exchange = chat(STORY, max_tokens=24)
        chunks = await collect(engine, exchange)
        assert sum(bool(chunk.text) for chunk in chunks) > 5
        assert [chunk.finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
        usage = chunks[-1].usage
        assert (chunks[-1].finish_reason, usage and usage.output) == ("length", 24)
        assert usage is not None
        assert usage.input == await engine.count_tokens(exchange)
        assert usage.cached_input is None

    async def test_an_answer_that_is_not_streamed_is_the_same_text(self, engine: Engine) -> None:
        streamed = await text_of(engine, chat(CAPITAL, max_tokens=20))
        assert await text_of(engine, chat(CAPITAL, max_tokens=20, stream=False)) == streamed

    async def test_requests_run_in_one_batch(self, engine: Engine) -> None:
        order: list[int] = []

        async def run(number: int) -> None:
            async for chunk in engine.answer(chat(f"{STORY} {number}", max_tokens=16)):
                if chunk.text:
                    order.append(number)

        await asyncio.gather(*(run(number) for number in range(RUNNING)))
        first_to_end = min(range(RUNNING), key=lambda number: len(order) - order[::-1].index(number))
        end = len(order) - order[::-1].index(first_to_end)
        assert set(order[:end]) == set(range(RUNNING))

    async def test_more_than_the_cache_holds_waits_its_turn(self, engine: Engine) -> None:
        exchanges = [chat(f"{number} word " * 20, max_tokens=700, stop=(" ",)) for number in range(4)]
        answers = await asyncio.gather(*(collect(engine, exchange) for exchange in exchanges))
        assert [chunks[-1].finish_reason for chunks in answers] == ["stop"] * 4

    async def test_a_raw_prompt_is_continued(self, engine: Engine) -> None:
        assert "Paris" in await text_of(engine, complete("The capital of France is", max_tokens=5))

    @pytest.mark.parametrize("exchange", [complete("", max_tokens=4), chat("", max_tokens=4)], ids=["raw", "chat"])
    async def test_an_empty_prompt_is_answered(self, engine: Engine, exchange: Exchange) -> None:
        assert (await collect(engine, exchange))[-1].usage is not None

    @pytest.mark.parametrize("stream", [True, False])
    async def test_characters_come_whole(self, engine: Engine, stream: bool) -> None:
        pattern = "(🤖|日本|ẞ|👩‍🚀){12}"
        chunks = await collect(engine, chat("Draw 🤖 日本", constraint=regex(pattern), stream=stream))
        assert not any("\ufffd" in chunk.text for chunk in chunks)
        assert re.fullmatch(pattern, "".join(chunk.text for chunk in chunks))

    @pytest.mark.parametrize("stream", [True, False])
    async def test_text_ends_before_a_stop_string(self, engine: Engine, stream: bool) -> None:
        whole = await text_of(engine, chat(STORY, max_tokens=32))
        for start, end in ((20, 21), (21, 30), (35, 47)):
            stop = whole[start:end]
            chunks = await collect(engine, chat(STORY, max_tokens=32, stop=("\x07", stop), stream=stream))
            assert "".join(chunk.text for chunk in chunks) == whole[: whole.index(stop)]
            assert chunks[-1].finish_reason == "stop"

    async def test_a_stop_string_that_does_not_come_is_given_back(self, engine: Engine) -> None:
        whole = await text_of(engine, chat(STORY, max_tokens=16))
        stop = whole[-4:] + "\x07"
        assert await text_of(engine, chat(STORY, max_tokens=16, stop=(stop,))) == whole

    async def test_a_seed_repeats_an_answer_and_none_draws_one(self, engine: Engine) -> None:
        async def sample(seed: int | None) -> str:
            return await text_of(engine, chat(STORY, max_tokens=16, temperature=1.5, seed=seed))

        assert await sample(7) == await sample(7)
        assert len({await sample(None) for _ in range(4)}) > 1
        assert len({await sample(-1), await sample(2**40), await sample(3)}) > 1

    async def test_a_small_top_p_takes_the_likeliest(self, engine: Engine) -> None:
        likeliest = await text_of(engine, chat(STORY, max_tokens=8))
        assert await text_of(engine, chat(STORY, max_tokens=8, temperature=2.0, top_p=1e-6)) == likeliest
        assert await text_of(engine, chat(STORY, max_tokens=8, temperature=2.0, top_p=0.0)) == likeliest

    @pytest.mark.parametrize("stream", [True, False])
    async def test_logprobs_are_of_the_tokens_of_the_text(self, engine: Engine, stream: bool) -> None:
        chunks = await collect(engine, chat(STORY, max_tokens=12, logprobs=True, stream=stream))
        items = [item for chunk in chunks for item in chunk.logprobs]
        assert "".join(item.token for item in items) == "".join(chunk.text for chunk in chunks)
        assert all(item.logprob <= 0 for item in items)
        assert len({item.logprob for item in items}) > 5

    @pytest.mark.parametrize("stream", [True, False])
    async def test_logprobs_end_with_the_text_before_a_stop_string(self, engine: Engine, stream: bool) -> None:
        whole = await text_of(engine, chat(STORY, max_tokens=24))
        word = whole.split()[6]
        exchange = chat(STORY, max_tokens=24, logprobs=True, stop=(f" {word}",), stream=stream)
        chunks = await collect(engine, exchange)
        items = [item for chunk in chunks for item in chunk.logprobs]
        assert "".join(item.token for item in items) == "".join(chunk.text for chunk in chunks)

    async def test_an_answer_follows_a_schema(self, engine: Engine) -> None:
        answer = json.loads(await text_of(engine, chat("A person, please.", constraint=schema(PERSON))))
        assert list(answer) == ["name", "age", "likes"]
        assert isinstance(answer["name"], str)
        assert 0 <= answer["age"] <= 120
        assert set(answer["likes"]) <= {"tea", "日本", 'a "quote"'}

    async def test_an_answer_follows_an_expression(self, engine: Engine) -> None:
        date = r"\d{4}-(0[1-9]|1[0-2])-\d\d"
        exchange = chat("A date?", constraint=regex(date), temperature=1.5, stream=False)
        assert re.fullmatch(date, await text_of(engine, exchange))

    @pytest.mark.parametrize(
        ("constraint", "message"),
        [
            (regex("(abc"), "does not compile: missing \\)"),
            (regex("(?=a)b"), "look-ahead"),
            (regex("((a{0,90}){0,90}){0,90}"), "would take seconds"),
            (Constraint("json_schema", '{"type": '), "is not JSON"),
            (schema({"type": "nope"}), 'has the type \\["nope"\\]'),
            (schema({"type": "integer", "multipleOf": 3}), "'multipleOf', which is not supported"),
            (schema({"$ref": "#"}), "refers to itself"),
        ],
    )
    async def test_a_constraint_that_cannot_be_kept_is_refused(
        self, engine: Engine, constraint: Constraint, message: str
    ) -> None:
        with pytest.raises(InvalidConstraint, match=message):
            await collect(engine, chat("A", constraint=constraint, max_tokens=4))
        assert await text_of(engine, chat("A", max_tokens=2))

    async def test_a_prompt_over_the_context_names_both_numbers(self, engine: Engine) -> None:
        exchange = chat("word " * 3000)
        tokens = await engine.count_tokens(exchange)
        assert tokens > 3000
        with pytest.raises(ContextLengthExceeded, match=f"{tokens} tokens .* {CONTEXT} tokens"):
            await collect(engine, exchange)

    @pytest.mark.parametrize("text", ["spam 🤖 " * 300_000, "x" * 3_000_000], ids=["words", "one word"])
    async def test_a_giant_prompt_is_refused(self, engine: Engine, text: str) -> None:
        with pytest.raises(ContextLengthExceeded):
            await collect(engine, chat(text))

    async def test_a_prompt_over_the_cache_is_refused(self, engine: Engine) -> None:
        with pytest.raises(CacheExhausted, match=f"holds {CACHE} tokens"):
            await collect(engine, chat("word " * 1700))
        with pytest.raises(CacheExhausted, match="answer of up to 1900"):
            await collect(engine, chat("A", max_tokens=1900))

    async def test_a_full_queue_says_when_to_come_back(self, engine: Engine) -> None:
        async def run() -> str:
            return await text_of(engine, chat(STORY, max_tokens=24))

        running = [asyncio.create_task(run()) for _ in range(RUNNING + WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match=f"{RUNNING} requests running and {WAITING} waiting") as caught:
            await run()
        assert caught.value.retry_after is not None
        assert caught.value.retry_after >= 1
        assert all(await asyncio.gather(*running))

    async def test_a_reader_that_leaves_ends_its_generation(self, engine: Engine) -> None:
        for _ in range(RUNNING + WAITING + 3):
            async with contextlib.aclosing(engine.answer(chat(STORY, max_tokens=1400))) as chunks:  # type: ignore[type-var]
                async for _chunk in chunks:
                    break
        # Each of them held most of the cache, so the next one runs only if theirs was given back.
        assert await text_of(engine, chat(STORY, max_tokens=1400, stop=(" ",)))
        assert engine.health().running <= 1

    async def test_a_request_ends_at_its_deadline(self, engine: Engine) -> None:
        with pytest.raises(DeadlineExceeded):
            await collect(engine, chat(STORY, max_tokens=1400, deadline=time.monotonic() + 0.3))
        with pytest.raises(DeadlineExceeded):
            await collect(engine, chat(STORY, max_tokens=4, deadline=time.monotonic() - 1))
        assert await text_of(engine, chat(STORY, max_tokens=1400, stop=(" ",)))

    async def test_a_special_token_in_a_message_is_text(self, engine: Engine) -> None:
        plain = await engine.count_tokens(chat("a"))
        assert await engine.count_tokens(chat("<|im_end|>")) > plain + 3
        assert await engine.count_tokens(complete("<|im_end|>")) == 1

    @pytest.mark.parametrize(
        ("change", "kind"),
        [
            ({"operation": "embed"}, UnsupportedFeature),
            ({"messages": ()}, InvalidRequest),
            ({"parameters": Parameters(max_tokens=0)}, InvalidRequest),
            ({"parameters": Parameters(temperature=3.0)}, InvalidRequest),
            ({"parameters": Parameters(stop=("",))}, InvalidRequest),
            ({"messages": (Message("user", "half a pair: \ud83d"),)}, InvalidRequest),
        ],
    )
    async def test_what_cannot_be_done_is_refused(
        self, engine: Engine, change: dict[str, Any], kind: type[PenstockError]
    ) -> None:
        with pytest.raises(kind):
            await collect(engine, chat("A").replace(**change))

    async def test_health_shows_the_process(self, engine: Engine) -> None:
        health = engine.health()
        assert (health.state, health.model, health.running, health.waiting) == ("ready", "small", 0, 0)
        assert health.pid is not None
        if sys.platform == "linux":
            assert health.memory_bytes is not None
            assert health.memory_bytes > 100_000_000

    async def test_a_process_that_is_killed_comes_back(self, engine: Engine) -> None:
        before = engine.health().restarts
        for kills in (1, 2):
            requests = [
                asyncio.create_task(collect(engine, chat(STORY, max_tokens=400, stream=stream)))
                for stream in (True, True, False)
            ]
            async for chunk in engine.answer(chat(CAPITAL, max_tokens=2)):
                assert chunk is not None
            pid = engine.health().pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            for result in await asyncio.gather(*requests, return_exceptions=True):
                assert isinstance(result, EngineStopped)
            with pytest.raises(DeadlineExceeded):
                await collect(engine, chat(CAPITAL, deadline=time.monotonic() + 0.01))
            assert await text_of(engine, chat(CAPITAL, max_tokens=8))
            assert engine.health().restarts == before + kills


class TestOpenVINO(EngineContract):
    kind = "openvino"

    @pytest.mark.asyncio(loop_scope="class")
    async def test_a_constraint_that_compiles_slowly_is_refused_and_holds_nobody_up(self, engine: Engine) -> None:
        story = asyncio.create_task(text_of(engine, chat(STORY, max_tokens=64)))
        slow = chat("A", constraint=regex("(.{1,90} ){1,90}"))
        for _ in range(2):
            with pytest.raises(InvalidConstraint, match="takes longer than 2 s"):
                await collect(engine, slow)
        assert await story
        long = {"type": "string", "minLength": 2, "maxLength": 2000}
        answer = json.loads(await text_of(engine, chat("Say hello.", constraint=schema(long), stop=("\x07",))))
        assert 2 <= len(answer) <= 2000


@pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None, reason="install it with: pip install 'penstock[llamacpp]'"
)
class TestLlamaCpp(EngineContract):
    kind = "llamacpp"
    threads = 1  # Its threads wait for each other by spinning, which takes minutes where other tests run beside.
