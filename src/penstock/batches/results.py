"""What a batch has to show: the results of its lines, written into files in the order of the input."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from penstock.batches.files.incoming import Incoming
from penstock.batches.values import Result


class Written(Struct, frozen=True):
    """The files of a batch that are not yet kept; `None` for one that would be empty. Close them in any case."""

    output: Incoming | None
    errors: Incoming | None

    @property
    def parts(self) -> Sequence[Incoming]:
        return [part for part in (self.output, self.errors) if part is not None]


def write_results(pages: Iterable[Sequence[Result]], begin: Callable[[], Incoming]) -> Written:
    """Writes all results, blocking. Raises `StorageFull` or `StorageError`."""
    parts: dict[bool, Incoming] = {}
    try:
        for page in pages:
            for is_error in (False, True):
                lines = [result.line + b"\n" for result in page if result.is_error is is_error]
                if lines and is_error not in parts:
                    parts[is_error] = begin()
                if lines:
                    parts[is_error].write(b"".join(lines))
    except BaseException:
        for part in parts.values():
            part.close()
        raise
    return Written(parts.get(False), parts.get(True))
