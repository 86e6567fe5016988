"""docs/traces.md is true: its requests are answered, and it names every filter and every field."""

import asyncio
import re
import shlex
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from support.gateway_site import Site, model, site
from support.tracing import exchange

from penstock.http.api.feedback import FeedbackBody
from penstock.http.api.traces import TraceList, TraceQuery
from penstock.traces.span import Feedback, SpanRecord, TraceDetail, TraceSummary

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "traces.md").read_text()
ADDRESS = "http://127.0.0.1:7100"
TRACE = "0af7651916cd43dd8448eb211c80319c"


def blocks(info: str) -> list[str]:
    return re.findall(rf"^```{info}\n(.*?)^```$", PAGE, re.M | re.S)


def curls() -> list[str]:
    commands = "".join(blocks("console")).replace("\\\n", " ").splitlines()
    return [command for command in commands if command.startswith("curl ")]


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path, model(name="my-docs")) as it:
        it.services.traces.begin(exchange().replace(trace_id=TRACE)).finish()
        assert await it.services.traces.flush()
        yield it


async def run(*command: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out


@pytest.mark.parametrize("command", curls())
async def test_requests_are_answered(it: Site, command: str) -> None:
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    _, *arguments = shlex.split(command.replace(ADDRESS, it.url))
    body = await run("curl", "--silent", "--show-error", "--fail-with-body", *arguments)
    kind = Feedback if "feedback" in command else TraceDetail if TRACE in command else TraceList
    msgspec.json.decode(body, type=kind)


@pytest.mark.parametrize("code", blocks("python served"))
async def test_examples_run(it: Site, code: str) -> None:
    out = (await run(sys.executable, "-c", code.replace(ADDRESS, it.url))).decode()
    assert out.startswith("Hello world\n")
    assert (await it.last_trace()).feedback[0].score == 1


@pytest.mark.parametrize("kind", [TraceQuery, TraceSummary, SpanRecord, TraceDetail, TraceList, FeedbackBody])
def test_every_field_is_named(kind: type[msgspec.Struct]) -> None:
    missing = [name for name in kind.__struct_fields__ if f"`{name}`" not in PAGE and f'"{name}"' not in PAGE]
    assert missing == []
