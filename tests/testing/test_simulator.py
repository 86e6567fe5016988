"""The simulated provider: its schedule of faults is the same for the same seed, and it starts from a shell."""

import asyncio
import sys

import aiohttp
import pytest

from penstock.errors import ConfigError
from penstock.testing import Fault, Plan, ProviderServer
from penstock.testing.faults import Schedule, read_plan

CHAT = {"messages": [{"role": "user", "content": "one two"}]}


def drawn(plans: list[Plan], seed: int, number: int = 400) -> list[str]:
    schedule = Schedule(plans, seed)
    return [fault.kind if fault else "" for fault in (schedule.next() for _ in range(number))]


def test_every_nth_and_a_share() -> None:
    stall, slow = Fault(kind="stall"), Fault(kind="rate_limit")
    assert drawn([Plan(fault=stall, every=3)], 0, 7) == ["", "", "stall", "", "", "stall", ""]
    kinds = drawn([Plan(fault=stall, share=0.1), Plan(fault=slow, share=0.5)], 7)
    assert 20 < kinds.count("stall") < 60
    assert 140 < kinds.count("rate_limit") < 220
    assert kinds == drawn([Plan(fault=stall, share=0.1), Plan(fault=slow, share=0.5)], 7)
    assert kinds != drawn([Plan(fault=stall, share=0.1), Plan(fault=slow, share=0.5)], 8)
    assert drawn([], 0, 3) == ["", "", ""]


def test_a_fault_as_it_is_written() -> None:
    assert read_plan("stall") == Plan(fault=Fault(kind="stall"))
    assert read_plan("rate_limit:share=0.1,retry_after=2,as_date") == Plan(
        fault=Fault(kind="rate_limit", retry_after=2.0, as_date=True), share=0.1
    )
    assert read_plan("cut_in_stream:every=7,after=3") == Plan(fault=Fault(kind="cut_in_stream", after=3), every=7)
    for wrong in ("explode", "stall:every=x", "stall:wat=1"):
        with pytest.raises(ConfigError, match="is not a fault"):
            read_plan(wrong)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/chat/completions", 400),
        ("/v1/messages", 400),
        ("/v1beta/models/x:generateContent", 400),
        ("/model/x/converse", 400),
    ],
)
async def test_what_it_does_not_understand_is_refused(path: str, status: int) -> None:
    async with ProviderServer() as server, aiohttp.ClientSession() as session:
        for body in (b"no json", b"[]", b'{"messages": []}', b'{"contents": [{}]}'):
            async with session.post(server.url + path, data=body) as response:
                assert response.status == status
                assert b"message" in await response.read()


async def test_faults_are_of_the_schedule_only() -> None:
    async with ProviderServer(faults=[Plan(fault=Fault(kind="server_error"), every=2)]) as server:
        async with aiohttp.ClientSession() as session:
            statuses = []
            for _ in range(4):
                async with session.post(f"{server.base_url}/chat/completions", json=CHAT) as response:
                    statuses.append(response.status)
        assert statuses == [200, 500, 200, 500]


async def test_it_starts_from_a_shell() -> None:
    command = [sys.executable, "-m", "penstock.testing", "--port", "0", "--fault", "rate_limit:retry_after=3"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
        url = line.split()[-1]
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{url}/v1/chat/completions", json=CHAT) as response,
        ):
            assert (response.status, response.headers["retry-after"]) == (429, "3")
    finally:
        process.terminate()
        await process.wait()


async def test_a_fault_that_is_none_is_said() -> None:
    command = [sys.executable, "-m", "penstock.testing", "--fault", "explode"]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, said = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert b"'explode' is not a fault. For example" in said
