"""A configuration that changes under load: every request is answered by the old one or by the new one."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from support.served_platform import at, served

from penstock.audit.record import AuditFilter
from penstock.testing import ProviderServer, Reply


def completion(text: str, after: asyncio.Event | None = None) -> Reply:
    body = b'{"choices":[{"index":0,"message":{"content":"%s"},"finish_reason":"stop"}]}' % text.encode()
    return Reply(body=body, after=after)


def saying(text: str) -> ProviderServer:
    return ProviderServer(lambda received: completion(text))


async def test_no_request_is_lost_while_models_are_swapped_under_load(tmp_path: Path) -> None:
    async with saying("old") as old, saying("new") as new, served(tmp_path, at(old)) as it:
        texts: list[str] = []
        going = True

        async def client() -> None:
            while going:
                status, answer = await it.chat()
                assert status == 200, answer
                texts.append(answer["choices"][0]["message"]["content"])

        clients = [asyncio.create_task(client()) for _ in range(8)]
        for number in range(20):
            heard = len(texts)
            it.write(at(new if number % 2 == 0 else old))
            status, answer = await it.reload()
            assert status == 200, answer
            assert [each["key"] for each in answer["data"]] == ["models.m.base_url"]
            while len(texts) < heard + 12:
                await asyncio.sleep(0)
                assert not any(each.done() for each in clients)
        going = False
        await asyncio.gather(*clients)
        assert len(texts) >= 240
        assert set(texts) == {"old", "new"}
        assert (await it.chat())[1]["choices"][0]["message"]["content"] == "old"


async def test_a_request_in_flight_ends_on_the_provider_it_began_with(tmp_path: Path) -> None:
    go_on = asyncio.Event()
    async with ProviderServer(lambda received: completion("old", go_on)) as old, saying("new") as new:  # noqa: SIM117
        async with served(tmp_path, at(old)) as it:
            slow = asyncio.create_task(it.chat())
            while not old.received:  # noqa: ASYNC110
                await asyncio.sleep(0)
            it.write(at(new))
            assert (await it.reload())[0] == 200
            assert (await it.chat())[1]["choices"][0]["message"]["content"] == "new"
            go_on.set()
            assert (await slow)[1]["choices"][0]["message"]["content"] == "old"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["[models.m"], "penstock.toml:1: not valid TOML"),
        (['[models.m]\nuse = "corp/large"\nbase_ulr = "x"'], "did you mean 'base_url'"),
        (['[models.m]\nuse = "nonesuch/x"'], "nonesuch"),
        (['[models.m]\nuse = "openai/gpt-4.1"\nfallback = ["m"]'], "m"),
        (["[keys.a]\nkey = { env = 'NOT_SET_ANYWHERE' }"], "NOT_SET_ANYWHERE is not set"),
    ],
)
async def test_a_bad_file_is_refused_by_message_and_the_old_goes_on(
    tmp_path: Path, lines: list[str], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with saying("old") as old, served(tmp_path, at(old)) as it:
        it.write(*([at(old)] if lines[0].startswith("[keys") else []), *lines)
        status, answer = await it.reload()
        assert status == 409
        assert said in answer["error"]["message"]
        assert "the old one goes on" in caplog.text
        assert (await it.chat())[1]["choices"][0]["message"]["content"] == "old"
        it.write(at(old), at(old, "other"))
        assert (await it.reload())[0] == 200, "the next good file is taken"
        assert (await it.chat("other"))[0] == 200


async def test_what_needs_a_restart_is_named_and_refuses_the_whole_file(tmp_path: Path) -> None:
    async with saying("old") as old, served(tmp_path, at(old)) as it:
        it.write(
            at(old, use="corp/other"),
            '[server]\nhost = "::1"\nmax_in_flight = 9',
            '[events]\nwebhook = "http://a/"',
        )
        status, found = await it.ask("GET", "/api/v1/config/changes")
        assert status == 200
        assert {each["key"]: each["restart"] for each in found["data"]} == {
            "events.webhook": True,
            "models.m.use": False,
            "server.host": True,
            "server.max_in_flight": False,
        }
        status, answer = await it.reload()
        assert (status, answer["error"]["message"]) == (
            409,
            "events.webhook and server.host cannot change while the server runs. Restart Penstock to take the file "
            "over, or put the old value back and reload.",
        )
        assert (await it.ask("GET", "/api/v1/config"))[1]["settings"]["models"]["m"]["use"] == "corp/large"


async def test_limits_and_sizes_hold_from_the_next_request_on(tmp_path: Path) -> None:
    async with saying("old") as old, served(tmp_path, at(old)) as it:
        assert (await it.chat())[0] == 200
        it.write(at(old), "[[limits]]\nrequests = 1\nwindow = '1h'", "[server]\nmax_body_mb = 0.001")
        assert (await it.reload())[0] == 200
        assert [(await it.chat())[0] for _ in range(2)] == [200, 429]
        assert (await it.chat("m" * 2000))[0] == 413


async def test_sighup_reads_the_file_again_and_is_on_record(tmp_path: Path) -> None:
    async with saying("old") as old, served(tmp_path, at(old)) as it:
        it.write(at(old), at(old, "other"))
        os.kill(os.getpid(), signal.SIGHUP)
        while (await it.chat("other"))[0] == 404:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        (kept,) = await it.platform.access.audit.list(AuditFilter(project_id=None, action="config.reloaded"))
        assert (kept.actor, bytes(kept.after)) == (
            "penstock",
            b'{"models.other.base_url":"%s","models.other.use":"corp/large"}' % old.base_url.encode(),
        )
