"""The child process of an encoder or a cross-encoder.

It is a single-threaded loop that reads jobs and computes one small batch at a time. After each batch it looks at
the socket, so a query waits for one batch of bulk work at most. Waiting texts of different jobs share batches, and
texts of about the same length do, so that little is computed for padding.
"""

from __future__ import annotations

import sys
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import openvino as ov
from numpy.typing import NDArray
from tokenizers import Tokenizer

from penstock.errors import ConfigError, PenstockError
from penstock.models.encoders.compression import ROUNDED, compressed
from penstock.models.encoders.cores import memory_bytes
from penstock.models.encoders.graphs import load
from penstock.models.encoders.messages import Cancel, Job, Ready, Result, Setup
from penstock.process import FrameSocket

BATCH_TOKENS = 256
"""Tokens of one batch. More would make queries wait and gains nothing: at this size the processor is busy."""

WINDOW_TEXTS = 256
"""Bulk texts that are sorted by length together."""

SLICE_TEXTS = 32
"""Texts cut into tokens before the next look at the socket."""


@dataclass(eq=False)
class Work:
    """One job on its way."""

    job: Job
    rows: NDArray[np.float32]
    left: int
    tokens: int = 0
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """One text of a job, as tokens. `types` tell a query (0) from what stands behind it (1)."""

    work: Work
    row: int
    ids: list[int] = field(repr=False)
    types: list[int] = field(repr=False)


class TextModel:
    """Texts to token ids to rows of numbers, on this machine's processor. Raises `ConfigError`."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        try:
            self._tokenizer = Tokenizer.from_file(setup.tokenizer)
        except Exception as error:  # what the library raises has no narrower type
            raise ConfigError(
                f"{setup.tokenizer} cannot be read: {error}.", hint="Copy the model again."
            ) from error
        self._tokenizer.enable_truncation(
            setup.max_tokens, strategy="only_second" if setup.scores else "longest_first"
        )
        self._tokenizer.no_padding()
        self._model = load(setup)
        self._inputs = [(port.get_any_name(), port.get_element_type().to_dtype()) for port in self._model.inputs]
        self._query = self._compile(self._model, {}, streams=1).create_infer_request()
        self.width = self.rows([self.first]).shape[1]

    @property
    def first(self) -> Text:
        """A text whose inference prepares memory that all others use."""
        job = Job(id=0, texts=("Prepares memory that all others use.",), urgent=True, query=self._any_query)
        work = Work(job, np.empty((1, 0), np.float32), 1)
        return self.tokenize([(work, 0)])[0]

    @property
    def _any_query(self) -> str | None:
        return "What does it prepare?" if self._setup.scores else None

    def tokenize(self, waiting: list[tuple[Work, int]]) -> list[Text]:
        """The texts in these rows of their jobs, behind the jobs' queries where there are some."""
        inputs = [
            text if work.job.query is None else (work.job.query, text)
            for work, row in waiting
            for text in (work.job.texts[row],)
        ]
        encodings = self._tokenizer.encode_batch_fast(inputs)
        return [
            Text(work, row, each.ids, each.type_ids) for (work, row), each in zip(waiting, encodings, strict=True)
        ]

    def rows(self, batch: list[Text]) -> NDArray[np.float32]:
        """One batch on all cores. float32 (texts, width), valid until the next call."""
        self._query.infer(self.pad(batch))
        rows: NDArray[np.float32] = self._query.get_output_tensor().data
        return rows

    def pad(self, batch: list[Text]) -> list[NDArray[np.generic]]:
        """The inputs of the graph in its order: the tokens of each text, filled up to the longest."""
        shape = (len(batch), max(len(text.ids) for text in batch))
        return [self._filled(name, dtype, batch, shape) for name, dtype in self._inputs]

    def _filled(
        self, name: str, dtype: np.dtype[Any], batch: list[Text], shape: tuple[int, int]
    ) -> NDArray[np.generic]:
        filled = np.full(shape, self._setup.pad_id if name == "input_ids" else 0, dtype)
        for row, text in enumerate(batch):
            count = len(text.ids)
            filled[row, :count] = 1 if name == "attention_mask" else text.ids if name == "input_ids" else text.types
        return filled

    def lanes(self) -> list[Lane]:
        """A lane for each core: for bulk work, since batches side by side lose less than one on all cores."""
        model, special = self._model, {}
        if self._setup.precision.startswith("int8"):
            model, special = compressed(model), ROUNDED
        compiled = self._compile(model, special, streams=self._setup.threads)
        return [Lane(self, compiled.create_infer_request()) for _ in range(self._setup.threads)]

    def _compile(self, model: ov.Model, special: dict[str, int], streams: int) -> ov.CompiledModel:
        options = {
            "INFERENCE_PRECISION_HINT": "bf16" if "bf16" in self._setup.precision else "f32",
            **special,
            "INFERENCE_NUM_THREADS": self._setup.threads,
            "NUM_STREAMS": streams,
            "ENABLE_CPU_PINNING": False,
        }
        return ov.Core().compile_model(model, "CPU", options)


class Lane:
    """One batch at a time, computed in the background on one core."""

    def __init__(self, model: TextModel, request: ov.InferRequest) -> None:
        self._model = model
        self._request = request
        self._batch: list[Text] = []

    def start(self, batch: list[Text]) -> None:
        self._batch = batch
        self._request.start_async(self._model.pad(batch))

    def finish(self) -> tuple[list[Text], NDArray[np.float32]]:
        """Waits for the batch; its rows are float32 (texts, width), valid until the next start."""
        self._request.wait()
        return self._batch, self._request.get_output_tensor().data


class Loop:
    """What waits, and the order in which it is done: queries first, then bulk work in the order it came."""

    def __init__(self, sock: FrameSocket, model: TextModel) -> None:
        self._sock = sock
        self._model = model
        self._works: dict[int, Work] = {}
        self._urgent: list[tuple[Work, int]] = []
        self._bulk: deque[tuple[Work, int]] = deque()
        self._untokenized: list[tuple[Work, int]] = []
        self._window: list[Text] = []
        self._free: list[Lane] | None = None
        self._busy: deque[Lane] = deque()
        self._decoder = msgspec.msgpack.Decoder(Job | Cancel)

    def run(self) -> None:
        """Works until the parent leaves."""
        while True:
            idle = not (self._urgent or self._bulk or self._untokenized or self._window or self._busy)
            frame = self._sock.receive(None if idle else 0)
            while frame is not None:
                self._accept(self._decoder.decode(frame))
                frame = self._sock.receive(0)
            if self._urgent:
                self._run_urgent()
            else:
                self._run_bulk()

    def _accept(self, message: Job | Cancel) -> None:
        if isinstance(message, Cancel):
            if work := self._works.pop(message.id, None):
                work.cancelled = True
            return
        count = len(message.texts)
        work = Work(message, np.empty((count, self._model.width), np.float32), count)
        self._works[message.id] = work
        rows = ((work, row) for row in range(count))
        if message.urgent:
            self._urgent.extend(rows)
        else:
            self._bulk.extend(rows)

    def _run_urgent(self) -> None:
        waiting, self._urgent = self._urgent[:SLICE_TEXTS], self._urgent[SLICE_TEXTS:]
        texts = self._tokenize(waiting)
        while texts:
            batch = take_batch(texts)
            self._deliver(batch, self._model.rows(batch))

    def _run_bulk(self) -> None:
        """One step: the lanes are filled, some texts become tokens, or the oldest batch is awaited."""
        if self._free is None:
            # Compiled with the first bulk work: a server that only answers queries never needs the memory.
            self._free = self._model.lanes()
        while self._free and self._window:
            batch = [text for text in take_batch(self._window) if not text.work.cancelled]
            if batch:
                lane = self._free.pop()
                lane.start(batch)
                self._busy.append(lane)
        if not self._untokenized and not self._window:
            while self._bulk and len(self._untokenized) < WINDOW_TEXTS:
                self._untokenized.append(self._bulk.popleft())
        if self._untokenized:
            part, self._untokenized = self._untokenized[:SLICE_TEXTS], self._untokenized[SLICE_TEXTS:]
            self._window += self._tokenize(part)
        elif self._busy:
            lane = self._busy.popleft()
            self._deliver(*lane.finish())
            self._free.append(lane)

    def _tokenize(self, waiting: list[tuple[Work, int]]) -> list[Text]:
        wanted = [(work, row) for work, row in waiting if not work.cancelled]
        return self._model.tokenize(wanted)

    def _deliver(self, batch: list[Text], rows: NDArray[np.float32]) -> None:
        for text, row in zip(batch, rows, strict=True):
            work = text.work
            work.rows[text.row] = row
            work.tokens += len(text.ids)
            work.left -= 1
            if work.left == 0 and not work.cancelled:
                del self._works[work.job.id]
                self._send(work)

    def _send(self, work: Work) -> None:
        result = Result(id=work.job.id, rows=work.rows.tobytes(), tokens=work.tokens, memory_bytes=memory_bytes())
        self._sock.send(msgspec.msgpack.encode(result))


def take_batch(texts: list[Text]) -> list[Text]:
    """Takes the longest texts out of `texts`, as many as fit BATCH_TOKENS when padded to the longest of them."""
    texts.sort(key=lambda text: len(text.ids))
    count = max(1, BATCH_TOKENS // len(texts[-1].ids))
    batch = texts[-count:]
    del texts[-count:]
    return batch


def main() -> None:
    sock = FrameSocket.from_argument(sys.argv[1])
    frame = sock.receive()
    assert frame is not None
    try:
        model = TextModel(msgspec.msgpack.decode(frame, type=Setup))
    except PenstockError as error:
        sys.exit(str(error))
    sock.send(msgspec.msgpack.encode(Ready(width=model.width, memory_bytes=memory_bytes())))
    try:
        Loop(sock, model).run()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


if __name__ == "__main__":
    main()
