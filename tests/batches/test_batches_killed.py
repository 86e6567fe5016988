"""A server that is killed at its work again and again: no finished line is asked twice, and none is lost."""

import asyncio
import random
import re
import signal
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from pathlib import Path

from openai import AsyncOpenAI
from support.batching import begin, content, counts, ended, lines

from penstock.testing import ProviderServer, simulator
from penstock.testing.answers import Answer, Pause, Received, Reply

KILLS = 10
LINES = 400
CONCURRENCY = 6
SETTINGS = """
[app]
name = "site"

[knowledge]

[batches]
concurrency = {concurrency}

[models.big]
use = "corp/large"
base_url = "{url}"
"""


class Server:
    """`penstock up` on a folder, as a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: Process | None = None

    async def start(self) -> AsyncOpenAI:
        with (self._folder / "log").open("a") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "penstock.cli.main", "up", str(self._folder), "--port", "0"),
                stdout=PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        found = re.search(rb"http://\S+", await self._process.stdout.readline())
        assert found is not None, (self._folder / "log").read_text()
        return AsyncOpenAI(base_url=f"{found[0].decode()}/v1", api_key="local", max_retries=0)

    async def stop(self, how: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(how)
        await self._process.wait()


def finished(folder: Path) -> set[int]:
    """The lines whose results are on disk, counted from 0."""
    (path,) = folder.rglob("jobs.db")
    database = sqlite3.connect(path)
    numbers = {number - 1 for (number,) in database.execute("SELECT number FROM batch_result")}
    database.close()
    return numbers


async def test_ten_kills(tmp_path: Path) -> None:
    asked: Counter[int] = Counter()
    chance = random.Random(7)

    def behave(received: Received) -> Answer:
        asked[int(received.json["messages"][0]["content"].removeprefix("number "))] += 1
        answer = simulator.simulate(received)
        assert isinstance(answer, Reply)
        return Reply(body=answer.body, after=Pause(chance.uniform(0, 0.03)))

    async with ProviderServer(behave) as upstream:
        (tmp_path / "penstock.toml").write_text(SETTINGS.format(url=upstream.base_url, concurrency=CONCURRENCY))
        server = Server(tmp_path)
        client = await server.start()
        batch = await begin(client, lines(LINES))
        seen: dict[int, int] = {}
        for kill in range(KILLS):
            enough = len(upstream.received) + chance.randint(5, 40)
            await upstream.until(lambda it, enough=enough: len(it.received) >= enough)  # type: ignore[misc]
            await server.stop(signal.SIGKILL)
            await client.close()
            assert all(asked[number] == count for number, count in seen.items()), f"asked again before kill {kill}"
            seen = {number: asked[number] for number in finished(tmp_path)}
            client = await server.start()
        batch = await ended(client, batch.id)
        assert batch.status == "completed"
        total, completed, failed = counts(batch)
        assert (total, completed + failed) == (LINES, LINES)
        assert all(asked[number] == count for number, count in seen.items())
        assert max(asked.values()) <= 2
        assert sum(asked.values()) - LINES <= KILLS * CONCURRENCY, "only lines in flight were asked again"
        answers = await content(client, batch.output_file_id)
        errors = await content(client, batch.error_file_id)
        assert {each["error"]["code"] for each in errors} <= {"interrupted"}
        ids = [each["custom_id"] for each in answers + errors]
        assert sorted(ids) == sorted(f"line-{number}" for number in range(LINES))
        for each in answers:
            said = each["response"]["body"]["choices"][0]["message"]["content"]
            assert said == each["custom_id"].replace("line-", "number ")
        await server.stop(signal.SIGTERM)
        await client.close()


async def test_a_server_that_stops_lets_lines_in_flight_end(tmp_path: Path) -> None:
    asked: Counter[str] = Counter()

    def behave(received: Received) -> Answer:
        asked[received.json["messages"][0]["content"]] += 1
        answer = simulator.simulate(received)
        assert isinstance(answer, Reply)
        return Reply(body=answer.body, after=Pause(0.05))

    async with ProviderServer(behave) as upstream:
        (tmp_path / "penstock.toml").write_text(SETTINGS.format(url=upstream.base_url, concurrency=4))
        server = Server(tmp_path)
        client = await server.start()
        batch = await begin(client, lines(40))
        await upstream.until(lambda it: len(it.received) >= 10)
        await server.stop(signal.SIGTERM)
        await client.close()
        assert len(upstream.received) < 40
        client = await server.start()
        assert counts(await ended(client, batch.id)) == (40, 40, 0)
        assert set(asked.values()) == {1}
        await server.stop(signal.SIGTERM)
        await client.close()
