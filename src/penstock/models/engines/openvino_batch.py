"""The running batch of the OpenVINO engine: what waits, what runs, and what each step brought.

Requests enter only when the KV cache has room for their prompt and their longest answer, because a pipeline that
runs out of blocks in the middle ends every request it holds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import openvino_genai

from penstock.errors import InvalidRequest, PenstockError
from penstock.models.engines.base import cache_exhausted, most_new, too_long
from penstock.models.engines.openvino_model import (
    BLOCK_TOKENS,
    Tokens,
    Vocabulary,
    last_line,
    open_pipeline,
    tensor,
)
from penstock.models.engines.text import TextStream, scores_within
from penstock.models.engines.wire import Count, End, Failure, Frame, Prompt, Score, Setup, Submit

RUNNING = openvino_genai.GenerationStatus.RUNNING
LENGTH = openvino_genai.GenerationFinishReason.LENGTH.value
NONE = openvino_genai.GenerationFinishReason.NONE.value
"""As integers: comparing the enumerations themselves takes longer than reading a token."""

MOST_REPLAYS = 3


class Request:
    """One request and how far it has come. `tokens` are all that it generated, in broken-off runs too."""

    __slots__ = (
        "blocks",
        "command",
        "config",
        "handle",
        "max_new",
        "prompt",
        "quiet",
        "replay",
        "replays",
        "scores",
        "sent",
        "text",
        "tokens",
    )

    def __init__(self, command: Submit, prompt: Tokens, max_new: int, vocabulary: Vocabulary) -> None:
        self.command = command
        self.prompt = prompt
        self.max_new = max_new
        self.blocks = -(-(len(prompt) + max_new) // BLOCK_TOKENS) + 1
        self.quiet = not command.stream and not command.stop
        self.text = TextStream(vocabulary.table, command.stop)
        self.config = generation_config(command, max_new)
        self.handle: Any = None
        self.tokens: list[int] = []
        self.scores: list[Score] = []
        self.sent = 0
        self.replay: list[int] = []
        self.replays = 0


class Batch:
    """The pipeline and its requests. Every method is quick but `step`, which runs the model once."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.pipeline = open_pipeline(setup)
        self.vocabulary = Vocabulary(self.pipeline.get_tokenizer(), setup.context)
        self._free = max(1, setup.cache_tokens // BLOCK_TOKENS)
        self._releasing = 0
        self._next = 0
        self._running: dict[int, Request] = {}
        self._waiting: deque[Request] = deque()
        self._broken_off: deque[Request] = deque()
        self._newcomers: list[Request] = []
        self._frame = Frame([], [], [], [], [])
        self._warm_up()

    @property
    def busy(self) -> bool:
        return bool(self._running or self._waiting or self._broken_off or self._releasing)

    @property
    def reports(self) -> bool:
        frame = self._frame
        return bool(frame.failures or frame.counts or frame.ends)

    def submit(self, command: Submit) -> None:
        try:
            prompt, whole = self.vocabulary.encode(command.prompt)
            if not whole:
                raise too_long(len(prompt), whole, self.setup)
            room = (self._capacity - 1) * BLOCK_TOKENS - len(prompt)
            max_new = most_new(command.max_tokens, len(prompt), room, self.setup)
        except Exception as error:
            self._refuse(command.id, error)
        else:
            self._waiting.append(Request(command, prompt, max_new, self.vocabulary))

    def count(self, command: Count) -> None:
        try:
            self._frame.counts.append((command.id, len(self.vocabulary.encode(command.prompt)[0])))
        except Exception as error:
            self._refuse(command.id, error)

    def cancel(self, request_id: int) -> None:
        request = self._running.pop(request_id, None)
        if request is not None:
            self._drop(request)
            return
        for queue in (self._waiting, self._broken_off):
            for waiting in queue:
                if waiting.command.id == request_id:
                    queue.remove(waiting)
                    return

    def take_frame(self) -> Frame:
        """What happened since the last call."""
        frame, self._frame = self._frame, Frame([], [], [], [], [])
        frame.running = len(self._running)
        frame.waiting = len(self._waiting) + len(self._broken_off)
        frame.cache_used = self.pipeline.get_metrics().cache_usage / 100 if self._running else 0.0
        return frame

    def step(self) -> None:
        """Admits what fits and runs the model once. A step that raises costs only the request at fault."""
        self._admit()
        try:
            self.pipeline.step()
        except Exception as error:
            self._recover(last_line(error))
            return
        self._free += self._releasing
        self._releasing = 0
        self._newcomers = []
        for request in list(self._running.values()):
            self._collect(request)

    @property
    def _capacity(self) -> int:
        return max(1, self.setup.cache_tokens // BLOCK_TOKENS)

    def _admit(self) -> None:
        """Moves requests into the pipeline; after a failure one a step, so that the next failure has one cause."""
        while self._broken_off and not self._newcomers and self._broken_off[0].blocks <= self._free:
            self._enter(self._broken_off.popleft())
        if self._broken_off:
            return
        while (
            self._waiting and len(self._running) < self.setup.max_running and self._waiting[0].blocks <= self._free
        ):
            self._enter(self._waiting.popleft())

    def _enter(self, request: Request) -> None:
        prompt = request.prompt
        if request.tokens and not request.command.grammar:
            prompt = np.concatenate([prompt, np.array(request.tokens, np.int64)])
            request.config.max_new_tokens = request.max_new - len(request.tokens)
        elif request.tokens:
            # A grammar's state cannot be carried over: the same seed generates the same tokens again.
            request.replay, request.tokens = request.tokens, []
        self._next += 1
        try:
            request.handle = self.pipeline.add_request(self._next, tensor(prompt), request.config)
        except Exception as error:
            self._fail(request.command.id, "InvalidRequest", last_line(error))
            return
        self._free -= request.blocks
        self._newcomers.append(request)
        self._running[request.command.id] = request

    def _collect(self, request: Request) -> None:
        handle = request.handle
        if request.quiet:
            if handle.get_status() == RUNNING:
                return
            outputs = handle.read_all()
        elif handle.can_read():
            outputs = handle.read().values()
        elif handle.get_status() == RUNNING:
            return
        else:
            outputs = ()
        reason = NONE
        for output in outputs:
            reason = output.finish_reason.value
            self._take(
                request, output.generated_ids, output.generated_log_probs if request.command.logprobs else ()
            )
        if request.command.id not in self._running:
            return
        if request.text.stopped:
            del self._running[request.command.id]
            self._drop(request)
            self._end(request, "stop")
        elif reason != NONE:
            del self._running[request.command.id]
            self._free += request.blocks
            self._end(request, "length" if reason == LENGTH else "stop")
        elif request.quiet or (not outputs and handle.get_status() != RUNNING):
            del self._running[request.command.id]
            self._drop(request)
            self._refuse(request.command.id, cache_exhausted(len(request.prompt), request.max_new, self.setup))

    def _take(self, request: Request, tokens: list[int], scores: Sequence[float]) -> None:
        """Turns new tokens into text for the reader."""
        request.tokens += tokens
        if request.replay:
            tokens, scores = self._skip_replayed(request, tokens, scores)
        command = request.command
        text = request.text.feed(tokens) if tokens else ""
        if scores:
            self._score(request, tokens, scores)
        if text:
            request.sent += len(text)
            self._frame.deltas.append((command.id, text))

    def _score(self, request: Request, tokens: list[int], scores: Sequence[float]) -> None:
        """The log-probability of each token that has a text. With stop strings they wait for the end: until then
        it is not known which tokens are part of one."""
        pieces = self.vocabulary.table
        items = [
            (pieces.text((token,)), score)
            for token, score in zip(tokens, scores, strict=True)
            if pieces.pieces[token]
        ]
        if request.command.stop:
            request.scores += items
        elif items:
            self._frame.scores.append((request.command.id, items))

    def _skip_replayed(
        self, request: Request, tokens: list[int], scores: Sequence[float]
    ) -> tuple[list[int], Sequence[float]]:
        """Leaves out what the reader already has. A repetition that differs ends the request."""
        known = request.replay[: len(tokens)]
        if tokens[: len(known)] != known:
            del self._running[request.command.id]
            self._drop(request)
            self._fail(request.command.id, "EngineStopped", "a neighbour's failure broke this answer off.")
            return [], ()
        request.replay = request.replay[len(known) :]
        return tokens[len(known) :], scores[len(known) :]

    def _end(self, request: Request, reason: str) -> None:
        rest = request.text.flush()
        if rest:
            request.sent += len(rest)
            self._frame.deltas.append((request.command.id, rest))
        if request.scores:
            self._frame.scores.append((request.command.id, scores_within(request.scores, request.sent)))
        self._frame.ends.append(End(request.command.id, reason, len(request.prompt), len(request.tokens)))

    def _drop(self, request: Request) -> None:
        """Takes a request out of the pipeline, which gives its blocks back at the end of the next step."""
        request.handle.cancel()
        self._releasing += request.blocks

    def _refuse(self, request_id: int, error: Exception) -> None:
        if isinstance(error, PenstockError):
            failure = Failure(request_id, type(error).__name__, error.message, error.hint, error.param)
            self._frame.failures.append(failure)
        else:
            self._fail(request_id, "InvalidRequest", f"the prompt cannot be read: {last_line(error)}")

    def _fail(self, request_id: int, code: str, message: str) -> None:
        self._frame.failures.append(Failure(request_id, code, message))

    def _recover(self, message: str) -> None:
        """After a step that raised: empties the pipeline, ends the request at fault, lets the others go on.

        Whoever entered with that step is suspect. All enter again one by one, so that the next failure has one
        cause; one that comes without a newcomer is laid on those whose answers follow a grammar, in the end on all.
        """
        suspects = self._newcomers or list(self._running.values())
        for request in list(self._running.values()):
            if not request.quiet:
                self._collect(request)
        survivors = list(self._running.values())
        for request in survivors:
            request.replays += 1
            request.handle.cancel()
        self._running.clear()
        self._newcomers = []
        self._empty_pipeline()
        self._free, self._releasing = self._capacity, 0
        guilty = suspects if len(suspects) == 1 else worn_out(survivors)
        for request in survivors:
            if request in guilty:
                code = "InvalidConstraint" if request.command.grammar else "EngineStopped"
                self._fail(request.command.id, code, f"the engine could not run this request: {message}")
            else:
                self._broken_off.append(request)

    def _empty_pipeline(self) -> None:
        """Steps until the cancelled requests are gone. Raises `RuntimeError` where they will not go."""
        reason = "it keeps its requests"
        for _ in range(8):
            if not self.pipeline.has_non_finished_requests():
                return
            try:
                self.pipeline.step()
            except Exception as error:
                reason = last_line(error)
        raise RuntimeError(f"the pipeline cannot be emptied: {reason}")

    def _warm_up(self) -> None:
        """Runs the model and its grammar compiler once, so that no caller waits for their first time (1.5 s)."""
        prompt = Prompt(None, "a")
        self.submit(Submit(0, prompt, 2, 0.0, 1.0, 0, (), False, False, "root ::= [a-z]+"))
        while self.busy:
            self.step()
        failures = self.take_frame().failures
        if failures:
            raise InvalidRequest(f"the model does not run: {failures[0].message}")


def worn_out(requests: list[Request]) -> list[Request]:
    """Those that were broken off too often to be tried again: the constrained ones first."""
    tried = [request for request in requests if request.replays > MOST_REPLAYS]
    return [request for request in tried if request.command.grammar] or tried


def generation_config(command: Submit, max_new: int) -> Any:
    config = openvino_genai.GenerationConfig()
    config.max_new_tokens = max_new
    config.rng_seed = command.seed
    if command.temperature > 0:
        config.do_sample = True
        config.temperature = command.temperature
        config.top_p = command.top_p
    if command.logprobs:
        config.logprobs = 1
    if command.grammar:
        config.structured_output_config = openvino_genai.StructuredOutputConfig(grammar=command.grammar)
    return config
