"""Who looks after batches for a command: the server of the folder, or this process while there is none."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from penstock.errors import InvalidRequest

if TYPE_CHECKING:
    from penstock.batches.service import Batches
    from penstock.client import Server
    from penstock.config import AppFolder
    from penstock.http.batches import BatchWire

T = TypeVar("T")


class Desk(Protocol):
    """Where batches are handed in and fetched. `is_served` says that they go on when the command ends."""

    is_served: bool

    def create(self, filename: str, data: bytes, endpoint: str, window: str) -> BatchWire: ...

    def list(self, limit: int) -> list[BatchWire]: ...

    def get(self, id: str) -> BatchWire: ...

    def cancel(self, id: str) -> BatchWire: ...

    def content(self, file_id: str) -> bytes: ...


@contextmanager
def desk(folder: AppFolder, *, works: bool = False) -> Iterator[Desk]:
    """The desk of a folder. Without a server it works on batches only where `works` says so."""
    from penstock.client import Server, running_server

    if server := running_server(folder):
        yield ServedDesk(Server.of(server))
        return
    with OwnDesk(folder, works) as own:
        yield own


class ServedDesk:
    """The API of a running server."""

    is_served = True

    def __init__(self, server: Server) -> None:
        self._server = server

    def create(self, filename: str, data: bytes, endpoint: str, window: str) -> BatchWire:
        file = self._server.send_file("/v1/files", {"purpose": "batch"}, filename, data)
        body = {"input_file_id": file["id"], "endpoint": endpoint, "completion_window": window}
        return wire(self._server.post("/v1/batches", body))

    def list(self, limit: int) -> list[BatchWire]:
        return [wire(each) for each in self._server.get("/v1/batches", limit=limit)["data"]]

    def get(self, id: str) -> BatchWire:
        return wire(self._server.get(f"/v1/batches/{id}"))

    def cancel(self, id: str) -> BatchWire:
        return wire(self._server.post(f"/v1/batches/{id}/cancel", {}))

    def content(self, file_id: str) -> bytes:
        return self._server.read(f"/v1/files/{file_id}/content")


class OwnDesk:
    """The app itself, opened in this process; its loop runs in a thread of its own, so that work goes on."""

    is_served = False

    def __init__(self, folder: AppFolder, works: bool) -> None:
        self._folder = folder
        self._works = works
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="batches", daemon=True)
        self._opened: asyncio.Future[Batches] = self._loop.create_future()
        self._leave = asyncio.Event()

    def __enter__(self) -> OwnDesk:
        self._thread.start()
        self._living = asyncio.run_coroutine_threadsafe(self._live(), self._loop)

        async def opened() -> Batches:
            return await self._opened

        try:
            self._batches = self._run(opened())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._leave.set)
        self._living.result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _live(self) -> None:
        """Holds the app open, or only its batches where nothing is to be worked on."""
        from penstock.platform import Platform
        from penstock.platform.batches import look_into
        from penstock.storage.lock import FolderLock

        try:
            if not self._works:
                with FolderLock(self._folder.make_data_folder()), look_into(self._folder) as batches:
                    self._opened.set_result(batches)
                    await self._leave.wait()
                return
            async with Platform.open(self._folder) as platform:
                working = asyncio.create_task(platform.batches.work())
                self._opened.set_result(platform.batches)
                await self._leave.wait()
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)
        except BaseException as error:
            if self._opened.done():
                raise
            self._opened.set_exception(error)

    def create(self, filename: str, data: bytes, endpoint: str, window: str) -> BatchWire:
        return self._run(self._create(filename, data, endpoint, window))

    async def _create(self, filename: str, data: bytes, endpoint: str, window: str) -> BatchWire:
        from penstock.batches.files.values import NewFile
        from penstock.batches.values import NewBatch
        from penstock.exchange import LOCAL, LOCAL_PROJECT
        from penstock.http.batches import ENDPOINTS, batch_wire

        files = self._batches.files
        incoming = await files.receive()
        try:
            await asyncio.to_thread(incoming.write, data)
            new = NewFile(project_id=LOCAL_PROJECT, purpose="batch", filename=filename)
            file = await files.keep(incoming, new)
        finally:
            incoming.close()
        wanted = NewBatch(endpoint=endpoint, input_file_id=file.id, completion_window=window)
        return batch_wire(await self._batches.create(LOCAL, wanted, ENDPOINTS))

    def list(self, limit: int) -> list[BatchWire]:
        from penstock.exchange import LOCAL_PROJECT
        from penstock.http.batches import batch_wire

        found, _ = self._run(self._batches.page(LOCAL_PROJECT, None, limit))
        return [batch_wire(batch) for batch in found]

    def get(self, id: str) -> BatchWire:
        from penstock.exchange import LOCAL_PROJECT
        from penstock.http.batches import batch_wire

        return batch_wire(self._run(self._batches.get(LOCAL_PROJECT, id)))

    def cancel(self, id: str) -> BatchWire:
        from penstock.exchange import LOCAL_PROJECT
        from penstock.http.batches import batch_wire

        return batch_wire(self._run(self._batches.cancel(LOCAL_PROJECT, id)))

    def content(self, file_id: str) -> bytes:
        from penstock.exchange import LOCAL_PROJECT

        _, path = self._run(self._batches.files.content(LOCAL_PROJECT, file_id))
        return Path(path).read_bytes()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def wire(value: Any) -> BatchWire:
    import msgspec

    from penstock.http.batches import BatchWire

    return msgspec.convert(value, BatchWire)


def prepared(file: Path, model: str | None, endpoint: str | None) -> tuple[bytes, str]:
    """The content of a file of requests, with another model where one is given, and the endpoint that it asks.

    Raises `InvalidRequest`. Lines that are not requests are left as they are: the batch says what is wrong.
    """
    data = file.read_bytes()
    if endpoint is not None and model is None:
        return data, endpoint
    lines = data.splitlines()
    for number, each in enumerate(lines):
        try:
            line = json.loads(each)
        except ValueError:
            continue
        if not isinstance(line, dict):
            continue
        endpoint = endpoint or line.get("url")
        if model is not None and isinstance(line.get("body"), dict):
            line["body"]["model"] = model
            lines[number] = json.dumps(line, ensure_ascii=False).encode()
    if not endpoint:
        raise InvalidRequest(f"No line of {file} says what it asks.", hint="Add --endpoint /v1/chat/completions.")
    return (data if model is None else b"\n".join(lines) + b"\n"), endpoint
