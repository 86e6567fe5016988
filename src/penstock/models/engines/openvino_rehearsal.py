"""The helper process of the OpenVINO engine: runs one grammar at a time and says whether it works.

Its first frame is the path of the model file; then each frame is a grammar, and each reply is empty or what is
wrong. The same OpenVINO GenAI compiles and follows the grammar as in the engine, for as many tokens as show how
slow it is; with weights of zero every token is as likely as any other, so it wanders through the whole grammar.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import openvino_genai

from penstock.models.engines.gguf import write_tiny
from penstock.models.engines.openvino_batch import RUNNING, generation_config
from penstock.models.engines.openvino_model import BLOCK_TOKENS, last_line
from penstock.models.engines.wire import Prompt, Submit
from penstock.process import FrameSocket

TOKENS = 64
ENOUGH_SECONDS = 0.75
SLOWEST_STEP = 0.5
"""Seconds that one token may take once the grammar is compiled: all neighbours wait for it."""


def main() -> None:
    sock = FrameSocket.from_argument(sys.argv[1])
    payload = sock.receive()
    assert payload is not None
    pipeline = open_tiny(Path(payload.decode()))
    rehearse(pipeline, "root ::= [a-z]+")
    sock.send(b"")
    try:
        while (grammar := sock.receive()) is not None:
            sock.send(rehearse(pipeline, grammar.decode()).encode())
    except EOFError:
        return


def open_tiny(source: Path) -> Any:
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.num_kv_blocks = 2 + TOKENS // BLOCK_TOKENS
    with tempfile.TemporaryDirectory(prefix="penstock-") as folder:
        file = Path(folder) / "tiny.gguf"
        write_tiny(source, file)
        return openvino_genai.ContinuousBatchingPipeline(file, scheduler, "CPU", {})


def rehearse(pipeline: Any, grammar: str) -> str:
    """What is wrong with a grammar, or nothing."""
    config = generation_config(Submit(0, Prompt(None), TOKENS, 1.0, 1.0, 0, (), False, False, grammar), TOKENS)
    problem = ""
    handle = pipeline.add_request(0, "a", config)
    try:
        pipeline.step()
        compiled = started = time.monotonic()
        while handle.get_status() == RUNNING and started < compiled + ENOUGH_SECONDS:
            pipeline.step()
            ended = time.monotonic()
            if ended - started > SLOWEST_STEP:
                problem = "one token takes longer than half a second with it."
                break
            started = ended
    except Exception as error:
        problem = last_line(error)
    handle.cancel()
    pipeline.step()
    return problem


if __name__ == "__main__":
    main()
