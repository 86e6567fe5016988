"""Ids are unique, also those of processes that were forked off."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor

from penstock.ids import new_id, new_span_id, new_trace_id, uuid7


def test_ids_have_the_forms_that_their_standards_want() -> None:
    assert re.fullmatch("[0-9a-f]{32}", new_trace_id())
    assert re.fullmatch("[0-9a-f]{16}", new_span_id())
    assert re.fullmatch("[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}", uuid7())
    assert re.fullmatch("doc_[0-9a-f]{32}", new_id("doc"))


def test_threads_share_no_id() -> None:
    with ThreadPoolExecutor(4) as threads:
        drawn = list(threads.map(lambda _: [new_trace_id() for _ in range(2000)], range(4)))
    assert len({each for ids in drawn for each in ids}) == 8000


def test_a_forked_process_draws_its_own() -> None:
    new_trace_id()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, " ".join(new_trace_id() for _ in range(9)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = set(os.read(read, 4096).decode().split())
    assert len(theirs) == 9
    assert not theirs & {new_trace_id() for _ in range(300)}
