"""Who looks into the knowledge for a command: the server of the folder, or this process while there is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Protocol, TypeVar

import typer

from penstock.errors import ConfigError, NotFound

if TYPE_CHECKING:
    from penstock.client import Server
    from penstock.config import AppFolder
    from penstock.knowledge.generations import DocumentChange, Generation
    from penstock.knowledge.ingestion.records import Run
    from penstock.knowledge.stores.shown import DocumentPassage
    from penstock.knowledge.stores.sqlite import SqliteStore
    from penstock.knowledge.values import Document, DocumentRow

T = TypeVar("T")
Name = Annotated[
    str,
    typer.Option("--name", metavar="NAME", help="Which knowledge, where the app has several.", show_default=False),
]
Number = Annotated[int | None, typer.Option(metavar="N", min=1, help="Which generation.", show_default=False)]


class Desk(Protocol):
    """What is asked of one knowledge base."""

    def runs(self, limit: int) -> list[Run]: ...

    def generations(self) -> list[Generation]: ...

    def changes(self, before: int | None, after: int | None) -> list[DocumentChange]: ...

    def roll_back(self, number: int | None) -> Generation: ...

    def publish(self, number: int | None) -> Generation: ...

    def documents(self) -> list[DocumentRow]: ...

    def document(self, document_id: str) -> Document: ...

    def passages(self, document_id: str) -> list[DocumentPassage]: ...


@contextmanager
def desk(folder: AppFolder, name: str) -> Iterator[Desk]:
    """Raises `NotFound` for a name that the app has not, `StorageError` where another process has the folder."""
    from penstock.client import Server, running_server
    from penstock.storage.lock import FolderLock

    name = named(folder, name)
    if server := running_server(folder):
        yield ServedDesk(Server.of(server), name)
        return
    path = folder.data / f"knowledge-{name}.db"
    if not path.exists():
        raise NotFound(f"Nothing was taken into {name!r} yet.", hint="Run `penstock ingest` first.")
    with FolderLock(folder.make_data_folder()):
        from penstock.knowledge.stores.sqlite import SqliteStore

        store = SqliteStore(path)
        try:
            yield OwnDesk(store, name, folder.settings.knowledge[name].generation)
        finally:
            store.close()


def named(folder: AppFolder, name: str) -> str:
    """The knowledge that is meant. Raises `NotFound` or `ConfigError`."""
    known = list(folder.settings.knowledge)
    if not known:
        raise ConfigError(f"{folder.name} has no knowledge.", hint="Add [knowledge.docs] to penstock.toml.")
    if name and name not in known:
        raise NotFound(f"There is no knowledge {name!r}.", hint=f"There is: {', '.join(known)}.")
    if not name and len(known) > 1:
        raise ConfigError("The app has several knowledge bases.", hint=f"Name one: --name {known[0]}.")
    return name or known[0]


class ServedDesk:
    """The API of a running server."""

    def __init__(self, server: Server, name: str) -> None:
        self._server = server
        self._path = f"/api/v1/knowledge/{name}"

    def runs(self, limit: int) -> list[Run]:
        from penstock.knowledge.ingestion.records import Run

        return self._list("/runs", list[Run], limit=limit)

    def generations(self) -> list[Generation]:
        from penstock.knowledge.generations import Generation

        return self._list("/generations", list[Generation])

    def changes(self, before: int | None, after: int | None) -> list[DocumentChange]:
        from penstock.knowledge.generations import DocumentChange

        return self._list("/generations/diff", list[DocumentChange], before=before, after=after)

    def roll_back(self, number: int | None) -> Generation:
        return self._move("/rollback", number)

    def publish(self, number: int | None) -> Generation:
        return self._move("/publish", number)

    def documents(self) -> list[DocumentRow]:
        from penstock.knowledge.values import DocumentRow

        found: list[DocumentRow] = []
        while True:
            page = self._list("/documents", list[DocumentRow], offset=len(found), limit=500)
            found += page
            if len(page) < 500:
                return found

    def document(self, document_id: str) -> Document:
        """The server gives a text in parts of a million characters."""
        from urllib.parse import quote

        import msgspec

        from penstock.http.api.knowledge import DocumentText
        from penstock.knowledge.values import Document

        path = f"{self._path}/documents/{quote(document_id, safe='')}"
        part = msgspec.convert(self._server.get(path), DocumentText)
        texts = [part.text]
        while part.end < part.document.characters:
            part = msgspec.convert(self._server.get(path, start=part.end), DocumentText)
            texts.append(part.text)
        return Document(
            row=part.document, text="".join(texts), headings=part.headings, page_starts=part.page_starts
        )

    def passages(self, document_id: str) -> list[DocumentPassage]:
        from urllib.parse import quote

        from penstock.knowledge.stores.shown import DocumentPassage

        return self._list(f"/documents/{quote(document_id, safe='')}/passages", list[DocumentPassage])

    def _move(self, path: str, number: int | None) -> Generation:
        import msgspec

        from penstock.knowledge.generations import Generation

        query = "" if number is None else f"?number={number}"
        return msgspec.convert(self._server.post(f"{self._path}{path}{query}", {}), Generation)

    def _list(self, path: str, kind: type[list[T]], **query: object) -> list[T]:
        import msgspec

        return msgspec.convert(self._server.get(f"{self._path}{path}", **query)["data"], kind)


class OwnDesk:
    """The store itself, opened by this process; nothing is embedded, so no encoder is started."""

    def __init__(self, store: SqliteStore, name: str, generation: int | None) -> None:
        """`generation` is the one that the configuration keeps readers at; one that there is not stops an app, and
        not who looks for those that there are."""
        import asyncio

        from penstock.knowledge.generations import Generations

        self._store = store
        self._generations = Generations(store)
        with suppress(ConfigError):
            asyncio.run(self._generations.follow(name, generation))

    def runs(self, limit: int) -> list[Run]:
        import asyncio

        from penstock.clock import SYSTEM_CLOCK
        from penstock.knowledge.ingestion.log import RunLog

        return asyncio.run(RunLog(self._store, SYSTEM_CLOCK).latest(limit))

    def generations(self) -> list[Generation]:
        return self._generations.kept()

    def changes(self, before: int | None, after: int | None) -> list[DocumentChange]:
        from penstock.knowledge.values import EVERYTHING

        return self._generations.changes(before, after, EVERYTHING)

    def roll_back(self, number: int | None) -> Generation:
        import asyncio

        return asyncio.run(self._generations.roll_back(number))

    def publish(self, number: int | None) -> Generation:
        import asyncio

        return asyncio.run(self._generations.publish(number))

    def documents(self) -> list[DocumentRow]:
        from penstock.knowledge.stores.reader import SqliteReader
        from penstock.knowledge.values import EVERYTHING

        with self._store.database.read() as connection:
            reader = SqliteReader(connection, self._store.project_id)
            return reader.documents(reader.published().number, EVERYTHING)

    def document(self, document_id: str) -> Document:
        from penstock.knowledge.stores.reader import SqliteReader
        from penstock.knowledge.values import EVERYTHING

        with self._store.database.read() as connection:
            return SqliteReader(connection, self._store.project_id).document(document_id, EVERYTHING)

    def passages(self, document_id: str) -> list[DocumentPassage]:
        from penstock.knowledge.stores import shown
        from penstock.knowledge.values import EVERYTHING

        with self._store.database.read() as connection:
            return shown.passages(connection, self._store.project_id, document_id, EVERYTHING)
