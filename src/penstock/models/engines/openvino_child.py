"""The OpenVINO engine's process: one thread that reads requests, steps, and writes one frame a step.

`step()` holds Python's lock for its whole length, so a second thread would only wait for it.
"""

from __future__ import annotations

import gc
import sys
import time

from penstock.models.engines.openvino_batch import Batch
from penstock.models.engines.openvino_model import last_line
from penstock.models.engines.wire import Cancel, Count, Ready, Submit, decode_command, decode_setup, encode
from penstock.process import FrameSocket

INTAKE_SECONDS = 0.02
"""The longest that running requests wait for new ones to be read and tokenized."""

GATHER_SECONDS = 0.0002
"""How long an idle engine waits for a neighbour of each new request, so that a burst enters with one step."""


def main() -> None:
    sock = FrameSocket.from_argument(sys.argv[1])
    payload = sock.receive()
    assert payload is not None
    setup = decode_setup(payload)
    try:
        batch = Batch(setup)
    except Exception as error:
        sys.exit(f"OpenVINO cannot run {setup.file}: {last_line(error)}")
    gc.collect()
    gc.freeze()
    sock.send(encode(Ready(batch.vocabulary.has_template, setup.cache_tokens)))
    try:
        serve(sock, batch)
    except EOFError:
        return


def serve(sock: FrameSocket, batch: Batch) -> None:
    while True:
        take_in(sock, batch)
        if batch.busy:
            batch.step()
        frame = batch.take_frame()
        if frame.deltas or frame.ends or frame.failures or frame.counts or frame.scores or not batch.busy:
            sock.send(encode(frame))


def take_in(sock: FrameSocket, batch: Batch) -> None:
    """Reads what has come. Waits for it only where there is nothing else to do."""
    active = batch.busy or batch.reports
    wait = 0 if active else GATHER_SECONDS
    payload = sock.receive(0 if active else None)
    end = time.monotonic() + INTAKE_SECONDS
    while payload is not None:
        command = decode_command(payload)
        if isinstance(command, Submit):
            batch.submit(command)
        elif isinstance(command, Cancel):
            batch.cancel(command.id)
        elif isinstance(command, Count):
            batch.count(command)
        payload = sock.receive(wait) if time.monotonic() < end else None


if __name__ == "__main__":
    main()
