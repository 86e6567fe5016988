"""The child process of `MiniLM`: a single-threaded loop that reads jobs and computes one small batch at a time.

After each batch it looks at the socket, so a query waits for one batch of bulk work at most. Waiting texts of
different jobs share batches, and texts of about the same length do, so that little is computed for padding.
"""

from __future__ import annotations

import sys
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import openvino as ov
from numpy.typing import NDArray
from tokenizers import Tokenizer

from penstock.models.encoders.bert_config import BertConfig
from penstock.models.encoders.bert_graph import build
from penstock.models.encoders.cores import memory_bytes
from penstock.models.encoders.minilm_messages import Cancel, Job, Ready, Result, Setup
from penstock.models.encoders.safetensors import read_tensors
from penstock.process import FrameSocket

BATCH_TOKENS = 1024
"""Tokens computed before the next look at the socket: more would make queries wait, fewer would waste speed."""

WINDOW_TEXTS = 256
"""Bulk texts that are sorted by length together."""

SLICE_TEXTS = 32
"""Bulk texts cut into tokens before the next look at the socket."""


@dataclass(eq=False)
class Work:
    """One job on its way."""

    job: Job
    vectors: NDArray[np.float32]
    left: int
    tokens: int = 0
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """One text of a job, as tokens."""

    work: Work
    row: int
    ids: list[int] = field(repr=False)


class Encoder:
    """Texts to token ids to vectors, on this machine's processor."""

    def __init__(self, setup: Setup) -> None:
        folder = Path(setup.folder)
        config = BertConfig.read(folder)
        self.dimensions = config.hidden_size
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(setup.max_tokens)
        self._tokenizer.no_padding()
        options = {
            "INFERENCE_PRECISION_HINT": setup.precision,
            "INFERENCE_NUM_THREADS": setup.threads,
            "PERFORMANCE_HINT": "LATENCY",
        }
        model = build(read_tensors(folder / "model.safetensors"), config)
        self._request = ov.Core().compile_model(model, "CPU", options).create_infer_request()

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(texts)]

    def vectors(self, batch: list[list[int]]) -> NDArray[np.float32]:
        """float32 (texts, dimensions), valid until the next call."""
        longest = max(len(ids) for ids in batch)
        ids = np.zeros((len(batch), longest), np.int32)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        self._request.infer([ids, mask], share_inputs=True)
        vectors: NDArray[np.float32] = self._request.get_output_tensor().data
        return vectors


class Loop:
    """What waits, and the order in which it is done: queries first, then bulk work in the order it came."""

    def __init__(self, sock: FrameSocket, encoder: Encoder) -> None:
        self._sock = sock
        self._encoder = encoder
        self._works: dict[int, Work] = {}
        self._urgent: list[tuple[Work, int]] = []
        self._bulk: deque[tuple[Work, int]] = deque()
        self._untokenized: list[tuple[Work, int]] = []
        self._window: list[Text] = []
        self._decoder = msgspec.msgpack.Decoder(Job | Cancel)

    def run(self) -> None:
        """Works until the parent leaves."""
        while True:
            idle = not (self._urgent or self._bulk or self._untokenized or self._window)
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
        work = Work(message, np.empty((count, self._encoder.dimensions), np.float32), count)
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
            self._compute(take_batch(texts))

    def _run_bulk(self) -> None:
        """One step: some texts to tokens, or one batch to vectors."""
        if not self._untokenized and not self._window:
            while self._bulk and len(self._untokenized) < WINDOW_TEXTS:
                self._untokenized.append(self._bulk.popleft())
        if self._untokenized:
            part, self._untokenized = self._untokenized[:SLICE_TEXTS], self._untokenized[SLICE_TEXTS:]
            self._window += self._tokenize(part)
        elif self._window:
            self._compute(take_batch(self._window))

    def _tokenize(self, waiting: list[tuple[Work, int]]) -> list[Text]:
        wanted = [(work, row) for work, row in waiting if not work.cancelled]
        tokens = self._encoder.tokenize([work.job.texts[row] for work, row in wanted])
        return [Text(work, row, ids) for (work, row), ids in zip(wanted, tokens, strict=True)]

    def _compute(self, batch: list[Text]) -> None:
        batch = [text for text in batch if not text.work.cancelled]
        if not batch:
            return
        vectors = self._encoder.vectors([text.ids for text in batch])
        for text, vector in zip(batch, vectors, strict=True):
            work = text.work
            work.vectors[text.row] = vector
            work.tokens += len(text.ids)
            work.left -= 1
            if work.left == 0:
                del self._works[work.job.id]
                self._send(work)

    def _send(self, work: Work) -> None:
        result = Result(
            id=work.job.id, vectors=work.vectors.tobytes(), tokens=work.tokens, memory_bytes=memory_bytes()
        )
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
    encoder = Encoder(msgspec.msgpack.decode(frame, type=Setup))
    encoder.vectors(encoder.tokenize(["The first inference prepares memory that all others use."]))
    sock.send(msgspec.msgpack.encode(Ready(memory_bytes=memory_bytes())))
    try:
        Loop(sock, encoder).run()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


if __name__ == "__main__":
    main()
