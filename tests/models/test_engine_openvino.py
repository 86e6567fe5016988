"""The OpenVINO engine's process by itself: what a failing step, a cancel and a wrong file do."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.constraints import json_schema_grammar, regex_grammar
from penstock.errors import ConfigError, Unavailable
from penstock.models.engines import EngineSettings, build_engine, wire
from penstock.models.engines.gguf import write_tiny
from penstock.process import LENGTH, FrameSocket

COUNT, LETTERS = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,", "A B C D E F G H I J"
"""Continued so surely that it does not matter who else is in the batch."""

CHORUS = regex_grammar("(the river and the lake ){6}")
BROKEN = "root ::= ("
"""A grammar that no check has seen: the pipeline takes it, and the next step raises for everybody."""


class Child:
    """The engine's process, spoken to in its own messages, without the parent's checks."""

    def __init__(self, file: Path) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "penstock.models.engines.openvino_child", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
            )
        self.socket = FrameSocket(ours)
        self._sock = ours
        self._next = 0
        self.texts: dict[int, str] = {}
        self.ends: dict[int, wire.End] = {}
        self.failures: dict[int, wire.Failure] = {}
        self._send(wire.encode(wire.Setup("small", str(file), 2048, 8192, 16, 256, 64, True, 0)))
        payload = self.socket.receive()
        assert payload is not None
        assert wire.decode_ready(payload).chat

    def _send(self, payload: bytes) -> None:
        self.socket.send(payload)

    def submit(self, *texts: str, grammar: str = "", stream: bool = True, tokens: int = 24) -> list[int]:
        """Several raw prompts in one write, so that they enter with one step."""
        payloads = []
        for text in texts:
            self._next += 1
            prompt = wire.Prompt(None, text)
            submit = wire.Submit(self._next, prompt, tokens, 0.0, 1.0, 0, (), False, stream, grammar)
            payloads.append(wire.encode(submit))
        self._sock.sendall(b"".join(LENGTH.pack(len(payload)) + payload for payload in payloads))
        return list(range(self._next - len(texts) + 1, self._next + 1))

    def cancel(self, request_id: int) -> None:
        self._send(wire.encode(wire.Cancel(request_id)))

    def read(self) -> wire.Frame:
        payload = self.socket.receive(60)
        assert payload is not None
        frame = wire.decode_frame(payload)
        for request_id, text in frame.deltas:
            self.texts[request_id] = self.texts.get(request_id, "") + text
        self.ends |= {end.id: end for end in frame.ends}
        self.failures |= {failure.id: failure for failure in frame.failures}
        return frame

    def finish(self, *request_ids: int) -> None:
        while not all(request_id in self.ends or request_id in self.failures for request_id in request_ids):
            self.read()


@pytest.fixture(scope="module")
def child(smollm2_file: Path) -> Iterator[Child]:
    child = Child(smollm2_file)
    yield child
    child._sock.close()
    assert child.process.wait(20) == 0


def test_a_step_that_raises_costs_only_its_cause(child: Child) -> None:
    alone = child.submit(COUNT, LETTERS) + child.submit("Sing", grammar=CHORUS, tokens=64)
    child.finish(*alone)
    expected = [child.texts[request_id] for request_id in alone]

    neighbours = child.submit(COUNT) + child.submit(LETTERS, stream=False)
    neighbours += child.submit("Sing", grammar=CHORUS, tokens=64)
    while neighbours[0] not in child.texts or neighbours[2] not in child.texts:
        child.read()
    (broken,) = child.submit("A", grammar=BROKEN)
    child.finish(*neighbours, broken)
    assert child.failures[broken].code == "InvalidConstraint"
    assert not any(request_id in child.failures for request_id in neighbours)
    assert [child.texts[request_id] for request_id in neighbours] == expected
    assert [child.ends[request_id].output_tokens for request_id in neighbours] == [
        child.ends[request_id].output_tokens for request_id in alone
    ]


def test_the_one_at_fault_is_found_among_several_that_enter_together(child: Child) -> None:
    (alone,) = child.submit(COUNT)
    child.finish(alone)
    good = child.submit(COUNT, LETTERS)
    broken = child.submit("A", "B", grammar=BROKEN)
    more = child.submit(LETTERS)
    child.finish(*good, *broken, *more)
    assert set(broken) <= set(child.failures)
    assert not {*good, *more} & set(child.failures)
    assert child.texts[good[0]] == child.texts[alone]


def test_a_cancelled_request_stops_within_two_steps(child: Child) -> None:
    stays, leaves = child.submit(COUNT, LETTERS, tokens=200)
    while leaves not in child.texts:
        child.read()
    child.cancel(leaves)
    after = 0
    frames = 0
    while frames < 12:
        frame = child.read()
        frames += 1
        after += any(request_id == leaves for request_id, _ in frame.deltas)
    # What was in the socket already when the cancel was sent comes on top of the two steps.
    assert after <= 3
    assert leaves not in child.ends
    child.cancel(stays)
    while child.read().running:
        pass


def test_what_is_known_of_a_prompt_is_told_before_it_enters(child: Child) -> None:
    (request_id,) = child.submit("word " * 3000)
    child.finish(request_id)
    assert child.failures[request_id].code == "ContextLengthExceeded"
    assert "2048 tokens" in child.failures[request_id].message


def test_json_written_by_the_model_has_no_blank_lines(child: Child) -> None:
    grammar = json_schema_grammar('{"type": "object", "properties": {"a": {"type": "array"}}, "required": ["a"]}')
    (request_id,) = child.submit("Data!", grammar=grammar)
    child.finish(request_id)
    assert child.texts[request_id].startswith('{"a":')
    assert "\n" not in child.texts[request_id]


def settings(file: Path) -> EngineSettings:
    return EngineSettings(model="small", file=file, context=256, cache_tokens=512)


@pytest.mark.parametrize(
    "content", [b"", b"GGUF", b"not a model at all, but some text", b"GGUF\x03\0\0\0" + b"\xff" * 90]
)
async def test_a_file_that_is_no_model_is_told(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "broken.gguf"
    file.write_bytes(content)
    engine = build_engine("openvino", settings(file))
    with pytest.raises(Unavailable, match=r"OpenVINO cannot run .*broken\.gguf"):
        await engine.start()
    await engine.close()
    with pytest.raises(ConfigError, match=r"broken\.gguf"):
        write_tiny(file, tmp_path / "tiny.gguf")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.gguf of 'small' is not there"):
        build_engine("openvino", settings(tmp_path / "nowhere.gguf"))
