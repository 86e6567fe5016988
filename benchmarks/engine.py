"""The OpenVINO engine against the pipeline driven directly: `python benchmarks/engine.py`.

Both run in processes of their own, with the same settings and the same requests, in turns, so that whatever else
the machine does falls on both. Each round is 32 requests at once. The pipeline driven directly is the shortest loop
that gives the same thing: it takes the prompts as text and reads tokens; where it streams, after each step.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from penstock.exchange import Chunk, Exchange, Message, Parameters
from penstock.models.engines import EngineSettings, build_engine
from penstock.models.pull import pull
from penstock.seams import Engine

CONTEXT, CACHE, STEP = 8192, 65_536, 256
AT_ONCE = 32
DECODE_TOKENS = 128
PREFILL_WORDS, PREFILL_AT_ONCE = 700, 4
TOPICS = ("rivers", "mountains", "bread", "sailing", "clocks", "tea", "bridges", "owls")


def prompts(kind: str, round_number: int) -> list[str]:
    """Texts that share no beginning beyond the template's, so that no cache helps either side."""
    if kind == "prefill":
        return [
            " ".join(
                f"{TOPICS[(word * 7 + number) % 8]} {round_number}{number}{word}"
                for word in range(PREFILL_WORDS // 4)
            )
            for number in range(PREFILL_AT_ONCE)
        ]
    return [
        f"Round {round_number}, number {number}: write a long story about {TOPICS[number % 8]}."
        for number in range(AT_ONCE)
    ]


def tokens_of(kind: str) -> int:
    return 1 if kind == "prefill" else DECODE_TOKENS


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--direct", type=Path, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.direct:
        drive(chosen.direct)
        return
    file = pull("smollm2-135m-instruct") / "SmolLM2-135M-Instruct.Q4_1.gguf"
    report(asyncio.run(measure(file, chosen.rounds)))


# The pipeline driven directly, in a process of its own: a line of JSON in, a line of JSON out.


def drive(file: Path) -> None:
    import openvino_genai

    scheduler = openvino_genai.SchedulerConfig()
    scheduler.num_kv_blocks = CACHE // 32
    scheduler.max_num_batched_tokens = STEP
    scheduler.max_num_seqs = 64
    scheduler.enable_prefix_caching = True
    pipeline = openvino_genai.ContinuousBatchingPipeline(file, scheduler, "CPU", {})
    tokenizer = pipeline.get_tokenizer()
    print("ready", flush=True)
    for line in sys.stdin:
        kind, texts, streamed = json.loads(line)
        started = time.perf_counter()
        generated, prompt_tokens, first = run_directly(pipeline, tokenizer, texts, tokens_of(kind), streamed)
        seconds = time.perf_counter() - started
        print(json.dumps([seconds, generated, prompt_tokens, first - started]), flush=True)


def run_directly(
    pipeline: Any, tokenizer: Any, texts: list[str], most: int, streamed: bool
) -> tuple[int, int, float]:
    import openvino_genai

    handles = []
    prompt_tokens = 0
    for number, text in enumerate(texts):
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens = most
        config.do_sample = True
        config.temperature = 0.7
        config.rng_seed = number
        prompt = tokenizer.apply_chat_template([{"role": "user", "content": text}], True)
        tokens = tokenizer.encode(prompt, add_special_tokens=False).input_ids
        prompt_tokens += tokens.shape[1]
        handles.append(pipeline.add_request(number, tokens, config))
    generated = 0
    first = 0.0
    while pipeline.has_non_finished_requests():
        pipeline.step()
        first = first or time.perf_counter()
        if streamed:
            for handle in handles:
                if handle.can_read():
                    generated += sum(len(output.generated_ids) for output in handle.read().values())
    if not streamed:
        for handle in handles:
            generated += len(handle.read_all()[0].generated_ids)
    return generated, prompt_tokens, first


class Direct:
    def __init__(self, file: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--direct", str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin and self._process.stdout
        self._input, self._output = self._process.stdin, self._process.stdout
        assert self._output.readline() == "ready\n"

    def run(self, kind: str, texts: list[str], streamed: bool) -> tuple[float, int, int, float]:
        print(json.dumps([kind, texts, streamed]), file=self._input, flush=True)
        seconds, generated, prompt_tokens, first = json.loads(self._output.readline())
        return seconds, generated, prompt_tokens, first

    def close(self) -> None:
        self._input.close()
        self._process.wait(20)


# The engine, as a gateway would call it.


async def answered(engine: Engine, exchange: Exchange) -> tuple[Chunk, float]:
    first = 0.0
    last = Chunk()
    async for chunk in engine.answer(exchange):
        first, last = first or time.perf_counter(), chunk
    return last, first


async def run_engine(engine: Engine, kind: str, texts: list[str], streamed: bool) -> tuple[float, int, int, float]:
    exchanges = [
        Exchange(
            id=f"req_{number}",
            trace_id="0" * 32,
            messages=(Message("user", text),),
            parameters=Parameters(max_tokens=tokens_of(kind), temperature=0.7, seed=number),
            stream=streamed,
        )
        for number, text in enumerate(texts)
    ]
    started = time.perf_counter()
    ends = await asyncio.gather(*(answered(engine, exchange) for exchange in exchanges))
    seconds = time.perf_counter() - started
    usages = [chunk.usage for chunk, _ in ends if chunk.usage]
    first = min(first for _, first in ends) - started
    return seconds, sum(usage.output for usage in usages), sum(usage.prompt_tokens for usage in usages), first


async def measure(file: Path, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """For each case the pairs (direct, engine), in tokens/s; in seconds for what is a latency."""
    loading = time.perf_counter()
    engine = build_engine(
        "openvino",
        EngineSettings(model="smollm2", file=file, context=CONTEXT, cache_tokens=CACHE, step_tokens=STEP),
    )
    await engine.start()
    started = time.perf_counter() - loading
    direct = Direct(file)
    pairs: dict[str, list[tuple[float, float]]] = {"start_seconds": [(started, started)]}
    cases = (("decode", False), ("decode", True), ("prefill", False), ("alone", True))
    for number in range(-1, rounds):
        for kind, streamed in cases:
            texts = prompts(kind, 2 * number + 2 + streamed)[: 1 if kind == "alone" else None]
            sides = [
                lambda kind=kind, texts=texts, streamed=streamed: asyncio.to_thread(
                    direct.run, kind, texts, streamed
                ),
                lambda kind=kind, texts=texts, streamed=streamed: run_engine(engine, kind, texts, streamed),
            ]
            results = {}
            for side in (0, 1) if number % 2 else (1, 0):
                results[side] = await sides[side]()
            if number >= 0:
                note(pairs, kind, streamed, results[0], results[1])
                print(f"round {number + 1} {kind} {'streamed' if streamed else 'whole'}", results, file=sys.stderr)
    direct.close()
    health = engine.health()
    pairs["memory_mb"] = [((health.memory_bytes or 0) / 1e6,) * 2]
    await engine.close()
    return pairs


def note(pairs: dict[str, list[tuple[float, float]]], kind: str, streamed: bool, *sides: tuple[float, ...]) -> None:
    name = {"decode": "decode_streamed" if streamed else "decode_whole"}.get(kind, kind)
    counted = 2 if kind == "prefill" else 1
    pairs.setdefault(name, []).append(tuple(side[counted] / side[0] for side in sides))  # type: ignore[arg-type]
    if kind == "alone":
        pairs.setdefault("alone_first_seconds", []).append(tuple(side[3] for side in sides))  # type: ignore[arg-type]


def report(pairs: dict[str, list[tuple[float, float]]]) -> None:
    figures: dict[str, float] = {}
    ratios: dict[str, float] = {}
    for name, values in pairs.items():
        ours = statistics.median(engine for _, engine in values)
        if name in ("start_seconds", "memory_mb"):
            figures[name] = round(ours, 2)
            continue
        theirs = statistics.median(direct for direct, _ in values)
        rounds = sorted(engine / direct for direct, engine in values)
        unit = "" if name.endswith("seconds") else "_tokens_per_second"
        figures[f"{name}{unit}_direct"] = round(theirs, 4 if not unit else 1)
        figures[f"{name}{unit}_engine"] = round(ours, 4 if not unit else 1)
        ratios[name] = round(statistics.median(rounds), 4)
        figures[f"{name}_ratio_lowest"], figures[f"{name}_ratio_highest"] = (
            round(rounds[0], 3),
            round(rounds[-1], 3),
        )
    goals = [
        {"name": name, "goal": f">= {goal}", "value": ratios[name], "met": ratios[name] >= goal}
        for name, goal in (("decode_whole", 0.97), ("decode_streamed", 0.90), ("prefill", 0.97))
    ]
    print(json.dumps({"name": "engine", "figures": figures, "ratios": ratios, "goals": goals}))


if __name__ == "__main__":
    main()
