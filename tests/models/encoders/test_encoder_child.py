"""The order in which the child works, over a real socket with the real model."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.models.encoders.child import BATCH_TOKENS, Loop, Text, TextModel, Work, take_batch
from penstock.models.encoders.messages import Cancel, Job, Result, Setup
from penstock.process import FrameSocket

LONG = "The keeper opened the gate and wrote the hour into the book. " * 30


@pytest.fixture(scope="module")
def model(minilm_folder: Path) -> TextModel:
    return TextModel(
        Setup(
            graph=str(minilm_folder / "model.safetensors"),
            tokenizer=str(minilm_folder / "tokenizer.json"),
            precision="f32",
            threads=2,
            max_tokens=256,
        )
    )


class Peer:
    """The parent's end of a loop that starts once its first frames are sent, so that their order is certain.

    They must fit the buffer of the socket, about 200 kB.
    """

    def __init__(self, model: TextModel) -> None:
        ours, theirs = socket.socketpair()
        self._sock = FrameSocket(ours)
        self._raw = ours
        self._child = FrameSocket(theirs)
        self._theirs = theirs
        self._thread = threading.Thread(target=self._run, args=(model,))

    def _run(self, model: TextModel) -> None:
        try:
            Loop(self._child, model).run()
        except EOFError:
            self._theirs.close()

    def send(self, message: Job | Cancel) -> None:
        self._sock.send(msgspec.msgpack.encode(message))

    def start(self) -> None:
        self._thread.start()

    def receive(self) -> Result:
        frame = self._sock.receive(60)
        assert frame is not None
        return msgspec.msgpack.decode(frame, type=Result)

    def close(self) -> None:
        self._raw.close()
        if self._thread.ident is None:
            self._theirs.close()
        else:
            self._thread.join()


@pytest.fixture
def peer(model: TextModel) -> Iterator[Peer]:
    peer = Peer(model)
    yield peer
    peer.close()


def job(number: int, *texts: str, urgent: bool = False) -> Job:
    return Job(id=number, texts=texts, urgent=urgent)


def tokens_of(model: TextModel, *texts: str) -> list[Text]:
    work = Work(job(1, *texts), np.empty((0, 384), np.float32), 0)
    return model.tokenize([(work, row) for row in range(len(texts))])


def test_a_query_comes_before_bulk_work_that_was_sent_first(peer: Peer) -> None:
    peer.send(job(1, *[LONG] * 12))
    peer.send(job(2, "Who opened the gate?", urgent=True))
    peer.start()
    assert [peer.receive().id for _ in range(2)] == [2, 1]


def test_waiting_jobs_share_batches_and_each_is_answered(peer: Peer) -> None:
    for number in range(1, 40):
        peer.send(job(number, f"Gate {number}", LONG[: 10 * number]))
    peer.start()
    assert sorted(peer.receive().id for _ in range(1, 40)) == list(range(1, 40))


def test_a_cancelled_job_is_never_answered(peer: Peer) -> None:
    peer.send(job(1, *[LONG] * 50))
    peer.send(Cancel(id=1))
    peer.send(Cancel(id=77))
    peer.send(job(2, LONG))
    peer.start()
    assert peer.receive().id == 2
    peer.send(job(3, "last"))
    assert peer.receive().id == 3


def test_texts_of_every_length_come_back_in_their_own_rows(peer: Peer, model: TextModel) -> None:
    texts = [" ".join(["water"] * count) for count in (1, 300, 5, 40, 0, 120, 3, 77)]
    peer.send(job(1, *texts))
    peer.start()
    result = peer.receive()
    rows = np.frombuffer(result.rows, "<f4").reshape(len(texts), 384)
    alone = np.concatenate([model.rows([text]).copy() for text in tokens_of(model, *texts)])
    np.testing.assert_allclose(rows, alone, atol=1e-5)
    assert result.tokens == sum(min(count + 2, 256) for count in (1, 300, 5, 40, 0, 120, 3, 77))
    assert result.memory_bytes > 50_000_000


@given(lengths=st.lists(st.integers(2, 256), min_size=1, max_size=60))
def test_batches_take_each_text_once_and_fit(lengths: list[int]) -> None:
    work = Work(job(1), np.empty((0, 384), np.float32), 0)
    texts = [Text(work, row, [7] * length, [0] * length) for row, length in enumerate(lengths)]
    rows = []
    while texts:
        batch = take_batch(texts)
        padded = len(batch) * max(len(text.ids) for text in batch)
        assert padded <= BATCH_TOKENS
        rows += [text.row for text in batch]
    assert sorted(rows) == list(range(len(lengths)))


def test_padding_is_masked(model: TextModel) -> None:
    work = Work(job(1), np.empty((0, 384), np.float32), 0)
    ids, mask = model.pad([Text(work, 0, [5, 6, 7], [0, 0, 0]), Text(work, 1, [8], [0])])
    assert ids.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
