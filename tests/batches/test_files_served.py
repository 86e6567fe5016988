"""Files over loopback: by the official client, by forms as others write them, and for one project alone."""

import asyncio
import hashlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import aiohttp
import openai
import pytest
from openai import AsyncOpenAI
from support.batching import begin, lines
from support.gateway_site import Site, model, site

from penstock.access.store import Access
from penstock.access.values import NewKey
from penstock.audit.record import COMMAND_LINE
from penstock.batches.service import Batches
from penstock.config.batches import BatchSettings
from penstock.testing import FakeProvider

BATCHES = BatchSettings(max_file_mb=1, max_project_mb=2)


def stored(folder: Path) -> list[Path]:
    return sorted((folder / "files").iterdir())


@pytest.mark.drives(
    "POST /v1/files", "GET /v1/files/{file_id}", "GET /v1/files/{file_id}/content", "DELETE /v1/files/{file_id}"
)
async def test_a_file_is_kept_listed_read_and_deleted(tmp_path: Path) -> None:
    async with site(tmp_path, batches=BATCHES) as it:
        files = it.client().files
        assert (await files.list()).data == []
        data = bytes(range(256)) * 1024 + b"\r\n--end--\r\n"
        file = await files.create(file=("../../etc/some notes.bin", data), purpose="user_data")
        assert (file.bytes, file.filename, file.purpose, file.status) == (
            len(data),
            "some notes.bin",
            "user_data",
            "processed",
        )
        (path,) = stored(tmp_path)
        assert (path.name, path.read_bytes()) == (file.id, data)
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert (await files.content(file.id)).content == data
        _, _, headers = await it.get(f"/v1/files/{file.id}/content")
        assert headers["etag"] == f'"{hashlib.sha256(data).hexdigest()}"'
        assert headers["content-disposition"].startswith("attachment")
        assert await files.retrieve(file.id) == file
        deleted = await files.delete(file.id)
        assert (deleted.id, deleted.deleted) == (file.id, True)
        assert stored(tmp_path) == []
        with pytest.raises(openai.NotFoundError, match="There is no file"):
            await files.content(file.id)


@pytest.mark.drives("GET /v1/files")
async def test_pages_of_files(tmp_path: Path) -> None:
    async with site(tmp_path, batches=BATCHES) as it:
        files = it.client().files
        made = [(await files.create(file=b"x", purpose="evals" if n % 2 else "batch")).id for n in range(5)]
        assert [file.id async for file in files.list(limit=2)] == made[::-1]
        assert [file.id async for file in files.list(limit=2, order="asc")] == made
        assert [file.id async for file in files.list(purpose="evals", order="asc")] == [made[1], made[3]]
        with pytest.raises(openai.BadRequestError, match="limit 0 is out of range"):
            await files.list(limit=0)


async def test_a_file_for_a_time(tmp_path: Path) -> None:
    async with site(tmp_path, batches=BATCHES) as it:
        files = it.client().files
        file = await files.create(
            file=b"x", purpose="user_data", expires_after={"anchor": "created_at", "seconds": 3600}
        )
        assert file.expires_at == file.created_at + 3600
        with pytest.raises(openai.BadRequestError, match="from 3600 to 2592000"):
            await files.create(file=b"x", purpose="batch", expires_after={"anchor": "created_at", "seconds": 60})
        with sqlite3.connect(tmp_path / "jobs.db") as database:
            database.execute("UPDATE file SET expires_us = 1")
        database.close()
        assert (await files.list()).data == []
        with pytest.raises(openai.NotFoundError):
            await files.retrieve(file.id)


async def test_too_large_and_too_many(tmp_path: Path) -> None:
    async with site(tmp_path, batches=BATCHES) as it:
        files = it.client().files
        with pytest.raises(openai.APIStatusError, match="larger than 1 MB") as large:
            await files.create(file=bytes(1_100_000), purpose="batch")
        assert large.value.status_code == 413
        assert stored(tmp_path) == []
        await files.create(file=bytes(1_000_000), purpose="batch")
        await files.create(file=bytes(1_000_000), purpose="batch")
        with pytest.raises(openai.APIStatusError, match="more than the 2 MB that a project may have") as many:
            await files.create(file=bytes(1_000_000), purpose="batch")
        assert many.value.status_code == 507
        assert len(stored(tmp_path)) == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([("purpose", "batch")], "The form has no field 'file'"),
        ([("file", b"x")], "'purpose' is ''"),
        ([("file", b"x"), ("purpose", "batch_output")], "It is one of assistants"),
        ([("file", b"x"), ("purpose", "batch"), ("colour", "red")], "A file has no 'colour'"),
        ([("file", b"x"), ("purpose", "batch"), ("purpose", "evals")], "two fields 'purpose'"),
        ([("file", b"x"), ("file", b"y"), ("purpose", "batch")], "two fields 'file'"),
        ([("file", b"x"), ("purpose", "b" * 9000)], "more than 8192 bytes"),
    ],
)
async def test_forms_that_are_refused(tmp_path: Path, fields: list[tuple[str, str | bytes]], message: str) -> None:
    async with site(tmp_path, batches=BATCHES) as it:
        form = aiohttp.FormData(default_to_multipart=True)
        for name, value in fields:
            form.add_field(name, value, filename="a.jsonl" if isinstance(value, bytes) else None)
        assert message in await refused(it, form)
        assert stored(tmp_path) == []


async def refused(it: Site, form: aiohttp.FormData) -> str:
    async with it.session.post(f"{it.url}/v1/files", data=form) as response:
        assert response.status == 400
        return str((await response.json())["error"]["message"])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b\r\n",
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx',
        b"nothing of a form",
        b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
        b"--b\r\nno header at all\r\n\r\nx\r\n--b--\r\n",
    ],
)
async def test_what_is_no_form(tmp_path: Path, body: bytes) -> None:
    async with site(tmp_path, batches=BATCHES) as it:
        headers = {"content-type": "multipart/form-data; boundary=b"}
        async with it.session.post(f"{it.url}/v1/files", data=body, headers=headers) as response:
            assert response.status == 400
            assert "form cannot be read" in (await response.json())["error"]["message"]
        assert not (tmp_path / "files").exists() or stored(tmp_path) == []


async def test_a_client_that_leaves_leaves_nothing(tmp_path: Path) -> None:
    async with site(tmp_path, batches=BATCHES) as it:
        _, writer = await asyncio.open_connection("127.0.0.1", int(it.url.rpartition(":")[2]))
        head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        writer.write(
            b"POST /v1/files HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 900000\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\n" + head + bytes(1000)
        )
        await writer.drain()
        await until(lambda: (tmp_path / "files").exists() and bool(stored(tmp_path)))
        writer.close()
        await until(lambda: not stored(tmp_path))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 -- what is waited for is on the disk
            await asyncio.sleep(0.01)


async def test_another_project_sees_nothing(tmp_path: Path) -> None:
    access = Access.open(tmp_path, tmp_path)
    await access.projects.create(COMMAND_LINE, "team-b", "Team B")
    async with site(tmp_path, model(FakeProvider("Hi"), name="big"), batches=BATCHES, access=access) as it:
        clients = []
        for project in ("local", "team-b"):
            made = await access.keys.create(
                COMMAND_LINE, NewKey(name=project, role="developer", project_id=project)
            )
            key = made.secret.reveal()
            clients.append(AsyncOpenAI(base_url=f"{it.url}/v1", api_key=key, max_retries=0))
        ours, theirs = clients
        batch = await begin(ours, lines(2))
        file = batch.input_file_id
        assert (await theirs.files.list()).data == []
        assert (await theirs.batches.list()).data == []
        for trying in (
            theirs.files.retrieve(file),
            theirs.files.content(file),
            theirs.files.delete(file),
            theirs.batches.retrieve(batch.id),
            theirs.batches.cancel(batch.id),
            theirs.batches.create(input_file_id=file, endpoint="/v1/chat/completions", completion_window="24h"),
        ):
            with pytest.raises(openai.NotFoundError):
                await trying
        assert (await ours.files.retrieve(file)).id == file
        for client in clients:
            await client.close()
    await access.close()


async def test_what_nobody_names_is_swept_away(tmp_path: Path) -> None:

    async with site(tmp_path, batches=BATCHES) as it:
        file = await it.client().files.create(file=b"x", purpose="batch")
        old, new = tmp_path / "files" / "file_gone", tmp_path / "files" / "file_coming.part"
        for path in (old, new):
            path.write_bytes(b"stray")
        for path in (old, tmp_path / "files" / file.id):
            os.utime(path, (1_000_000, 1_000_000))

        batches = it.server.app.state.batches  # type: ignore[attr-defined]
        assert isinstance(batches, Batches)
        await batches.prune()
        assert {path.name for path in stored(tmp_path)} == {file.id, new.name}
