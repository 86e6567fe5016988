"""`file:` sources: a file or a folder of this machine, copied into the cache."""

from __future__ import annotations

from pathlib import Path

from penstock.errors import PullFailed
from penstock.models.catalog import ModelFile
from penstock.models.sources.base import MODEL_SUFFIXES, Order, check_space

BLOCK = 4 << 20


class LocalSource:
    """`title` names the place in messages where the path itself would say nothing to the reader."""

    def __init__(self, path: Path, title: str = "") -> None:
        self._path = path
        self._title = title or str(path)

    def __str__(self) -> str:
        return self._title

    def stamp(self) -> str:
        """Sizes and times of the files, so that a changed file is fetched again."""
        files = [self._path] if self._path.is_file() else sorted(self._path.rglob("*"))
        states = [(file, file.stat()) for file in files if file.is_file()]
        return ";".join(f"{file.name}:{state.st_size}:{state.st_mtime_ns}" for file, state in states)

    def fetch(self, order: Order) -> tuple[ModelFile, ...]:
        found = self._files(order.files)
        total = sum(path.stat().st_size for path in found.values())
        check_space(order.target, total)
        done = 0
        for name, path in found.items():
            target = order.target / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with path.open("rb") as source, target.open("wb") as copy:
                while block := source.read(BLOCK):
                    copy.write(block)
                    done += len(block)
                    order.report("download", name, done, total)
        return tuple(ModelFile(name=name, size=path.stat().st_size) for name, path in found.items())

    def _files(self, wanted: tuple[ModelFile, ...]) -> dict[str, Path]:
        """The files to copy, by the name they get."""
        if not self._path.exists():
            raise PullFailed(f"{self} does not exist.", hint="Check the path.")
        if self._path.is_file():
            found = {self._path.name: self._path}
        elif wanted:
            found = {file.name: self._path / file.name for file in wanted}
        else:
            found = {
                str(path.relative_to(self._path)): path
                for path in sorted(self._path.rglob("*"))
                if path.is_file() and path.suffix in MODEL_SUFFIXES
            }
        if not found:
            raise PullFailed(f"{self} holds no model files.", hint=f"Looked for {', '.join(MODEL_SUFFIXES)}.")
        for path in found.values():
            if not path.is_file():
                raise PullFailed(f"{self} has no file {path.name}.", hint="Check the folder.")
        return found
