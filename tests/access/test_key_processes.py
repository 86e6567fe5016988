"""Keys over several processes: what one changes the others know within a second, and what was said is stored."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock.access.store import Access
from penstock.access.values import NewKey
from penstock.audit.record import COMMAND_LINE
from penstock.errors import Unauthenticated

SUPPORT = Path(__file__).parents[1] / "support"
WITHIN_SECONDS = 1.0


@contextmanager
def process(script: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    started = subprocess.Popen(
        [sys.executable, str(SUPPORT / script), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def line(of: subprocess.Popen[str]) -> str:
    assert of.stdout is not None
    return of.stdout.readline().strip()


def tell(to: subprocess.Popen[str], text: str) -> None:
    assert to.stdin is not None
    to.stdin.write(f"{text}\n")
    to.stdin.flush()


async def test_another_process_knows_of_a_key_and_of_its_end_within_a_second(tmp_path: Path) -> None:
    access = Access.open(tmp_path, tmp_path)
    delays = []
    with process("follow_keys.py", tmp_path) as other:
        assert line(other) == "ready"
        for _ in range(3):
            made = await access.keys.create(COMMAND_LINE, NewKey(name="web"))
            tell(other, made.secret.reveal())
            assert line(other) == "works"
            await access.keys.revoke(COMMAND_LINE, made.key.id)
            with pytest.raises(Unauthenticated):
                access.keys.authenticate(made.secret.reveal().encode())
            revoked = time.monotonic()
            assert line(other) == "ended"
            delays.append(time.monotonic() - revoked)
    assert min(delays) < WITHIN_SECONDS  # one of them at least had the processor
    await access.close()


async def test_a_key_of_another_process_is_known_when_it_is_asked_for(tmp_path: Path) -> None:
    """The gate's second look: without it, a key would be refused until the next poll."""
    here, there = Access.open(tmp_path, tmp_path), Access.open(tmp_path, tmp_path)
    made = await there.keys.create(COMMAND_LINE, NewKey(name="web"))
    secret = made.secret.reveal().encode()
    with pytest.raises(Unauthenticated):
        here.keys.authenticate(secret)
    assert (await here.keys.authenticate_late(secret)).key_id == made.key.id
    cookie, _ = await there.sessions.sign_in(secret, "127.0.0.1")
    assert (await here.sessions.resume_late(cookie.reveal().encode())).key_id == made.key.id
    await here.close()
    await there.close()


async def test_a_key_that_was_answered_survives_kill_9(tmp_path: Path) -> None:
    with process("make_keys.py", tmp_path) as maker:
        answered = [line(maker) for _ in range(25)]
        maker.send_signal(signal.SIGKILL)
        assert maker.stdout is not None
        answered += [each for each in maker.stdout.read().split("\n") if len(each) == len(answered[0])]
    access = Access.open(tmp_path, tmp_path)
    for secret in answered:
        access.keys.authenticate(secret.encode())
    verdict = await access.audit.verify()
    assert verdict.broken_at is None
    assert verdict.records == len(access.keys.list(COMMAND_LINE.principal)) >= 25
    await access.close()
