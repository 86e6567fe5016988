"""Generations as their owner sees them: what is kept, what changed, and going back."""

from __future__ import annotations

from penstock.errors import ConfigError, Conflict, NotFound
from penstock.knowledge.stores import generations
from penstock.knowledge.stores.generations import DocumentChange, Generation
from penstock.knowledge.stores.sqlite import SqliteStore
from penstock.knowledge.values import Reader

__all__ = ["DocumentChange", "Generation", "Generations"]


class Generations:
    """The generations of one store. Methods raise `NotFound` for one that is not kept, and those that move readers
    `Conflict` where the configuration keeps them at one."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    def kept(self) -> list[Generation]:
        """Newest first."""
        with self._store.database.read() as connection:
            return generations.kept(connection, self._store.project_id)

    def changes(self, before: int | None, after: int | None, reader: Reader) -> list[DocumentChange]:
        """What became of documents from one generation to another: by default from the one before the newest to
        the newest, of those that a reader may find."""
        kept = self.kept()
        newest = kept[0].number if kept else 0
        to = newest if after is None else self._find(kept, after).number
        earlier = [each.number for each in kept if each.number < to]
        start = (earlier[0] if earlier else 0) if before is None else before
        if start:
            self._find(kept, start)
        with self._store.database.read() as connection:
            return generations.changes(connection, self._store.project_id, start, to, reader)

    async def roll_back(self, number: int | None = None) -> Generation:
        """Readers see an earlier generation (the one before theirs, if none is named) and stay at it: runs go on
        making generations, which `publish` lets them see."""
        kept = self.kept()
        now = next((each.number for each in kept if each.published), 0)
        if number is None:
            earlier = [each.number for each in kept if each.number < now]
            if not earlier:
                raise NotFound(f"No generation before {now} is kept.", hint="There is nothing to go back to.")
            number = earlier[0]
        return await self._point(kept, number, pinned=True)

    async def publish(self, number: int | None = None) -> Generation:
        """Readers see a generation, the newest if none is named, and from the newest on those of later runs."""
        kept = self.kept()
        if not kept:
            raise NotFound("There is no generation yet.", hint="Make one with `penstock ingest`.")
        wanted = kept[0].number if number is None else number
        return await self._point(kept, wanted, pinned=wanted != kept[0].number)

    async def follow(self, name: str, number: int | None) -> None:
        """What the configuration says of the knowledge `name`: readers see this generation whatever runs make and
        commands publish, or, with `None`, what those do. Raises `ConfigError` for one that is not kept."""
        kept = self.kept()
        if number is not None and all(each.number != number for each in kept):
            raise ConfigError(
                f"knowledge.{name}.generation is {number}, which is not kept: {known(kept)}.",
                hint="`penstock knowledge generations` lists them; without the setting readers see the newest.",
            )
        if number != next((each.number for each in kept if each.configured), None):
            project = self._store.project_id
            await self._store.database.write(lambda connection: generations.configure(connection, project, number))

    async def _point(self, kept: list[Generation], number: int, *, pinned: bool) -> Generation:
        self._find(kept, number)
        if (configured := next((each.number for each in kept if each.configured), None)) is not None:
            raise Conflict(
                f"The configuration keeps readers at generation {configured}.",
                hint="Change or delete `generation` under [knowledge.NAME] in penstock.toml, and restart Penstock.",
            )
        project = self._store.project_id
        await self._store.database.write(
            lambda connection: generations.point(connection, project, number, pinned=pinned)
        )
        return self._find(self.kept(), number)

    def _find(self, kept: list[Generation], number: int) -> Generation:
        for each in kept:
            if each.number == number:
                return each
        raise NotFound(f"Generation {number} of the knowledge is not kept.", hint=f"{known(kept)}.")


def known(kept: list[Generation]) -> str:
    numbers = ", ".join(str(each.number) for each in kept)
    return f"kept are {numbers}" if kept else "none is kept"
