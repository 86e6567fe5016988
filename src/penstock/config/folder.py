"""From a path to an app: reads `penstock.toml` where there is one, and infers what it does not say."""

from __future__ import annotations

import difflib
import glob
import hashlib
import os
import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from penstock.config.knowledge import DEFAULT_EMBEDDER
from penstock.config.models import DEFAULT_MODEL
from penstock.config.positions import KeyPath, find_lines
from penstock.config.problems import Origin, explain
from penstock.config.settings import Settings, taken_names
from penstock.errors import ConfigError

FILE_NAME = "penstock.toml"
OWN_FILES = (FILE_NAME, "prompts/**", "evals/**", "flows.py")
BARE_OWN_FILES = ("evals/golden.jsonl",)
"""What is read in a folder without settings: its questions, which hold the answers. There, folders of these names
are documents like any other."""
DATA_FOLDER = ".penstock"
OTHER_SOURCES = frozenset({"web", "s3", "git", "sql", "push"})
"""What a knowledge has whose documents are not files of the app."""

Overrides = Mapping[KeyPath, object]
"""Settings given elsewhere than in the file: `{("server", "port"): 8000}`; a table replaces the whole table."""


@dataclass(frozen=True)
class AppFolder:
    """An app as it stands on disk.

    `root` is the folder that `sources` are relative to, `data` the folder for its databases (it need not exist
    yet; `make_data_folder` makes it), `file` its `penstock.toml` and `None` where all is inferred, `single` the
    one document of an app that is a file. `overrides` are the settings given elsewhere than in the file.
    """

    root: Path
    settings: Settings
    data: Path
    file: Path | None = None
    single: Path | None = None
    origin: Origin = field(default_factory=lambda: Origin("", {}), compare=False, repr=False)
    overrides: Overrides = field(default_factory=dict, compare=False, repr=False)

    @property
    def name(self) -> str:
        return self.settings.app.name

    @property
    def database(self) -> Path | str:
        """Where keys, limits and the ledger are kept: the data folder, or the address of a PostgreSQL database.

        Raises `ConfigError` where the variable that holds the address is not set.
        """
        url = self.settings.database.url
        return self.data if url is None else url.reveal()

    @property
    def source_root(self) -> Path:
        """What `sources` are looked for in: the folder, or the one document of an app that is a file."""
        return self.single or self.root

    def excludes(self, knowledge: str) -> tuple[str, ...]:
        """What that knowledge leaves out: its own `exclude`, and the files that describe the app."""
        own = OWN_FILES if self.file else BARE_OWN_FILES
        data = [f"{self.data.relative_to(self.root).as_posix()}/**"] if self.data.is_relative_to(self.root) else []
        return (*self.settings.knowledge[knowledge].exclude, *data, *own)

    def where(self, *path: str | int) -> str:
        """Where a setting was given, for messages: `penstock.toml:4: models.default.use`."""
        return self.origin.where(path)

    def read_again(self) -> AppFolder:
        """The app as its file says it now, with the same overrides. Raises `ConfigError`."""
        if self.file is not None and not self.file.exists():
            raise ConfigError(
                f"{_shown(self.file)} is gone.", hint="Put it back, or stop the server to serve without it."
            )
        return load(self.single or self.root, self.overrides)

    def make_data_folder(self) -> Path:
        """Makes the data folder, with a `.gitignore` that keeps it out of the app's history."""
        try:
            self.data.mkdir(parents=True, exist_ok=True)
            ignore = self.data / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
        except OSError as error:
            raise ConfigError(
                f"The data folder {self.data} cannot be made: {error.strerror}.",
                hint="Set PENSTOCK_DATA, or data under [app], to a folder that can be written.",
            ) from error
        return self.data


def load(path: str | Path, overrides: Overrides | None = None) -> AppFolder:
    """The app at `path`: a folder, a folder with `penstock.toml`, that file itself, or a single document.

    Raises `ConfigError` with every problem in the file, each with its line, key and the nearest right name.
    """
    target = Path(path).expanduser()
    if not target.exists():
        raise ConfigError(f"There is no file or folder {str(path)!r}{_near_sibling(target)}")
    target = target.resolve()
    if target.name == FILE_NAME and target.is_file():
        target = target.parent
    single = None if target.is_dir() else target
    root = target.parent if single else target
    file = root / FILE_NAME if single is None and (root / FILE_NAME).is_file() else None
    text = _read(file) if file else ""
    raw = _parse(text, file) if file else {}
    _override(raw, overrides or {})
    _infer(raw, root, file, single)
    origin = Origin(_shown(file) if file else "", find_lines(text), tuple(overrides or ()))
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        raise explain(error, origin) from None
    return AppFolder(root, settings, data_folder(root, settings, single), file, single, origin, overrides or {})


def infer_name(path: Path) -> str:
    """A name for the app from that of its folder or file: `My docs (2024)` is `my-docs-2024`."""
    name = re.sub(r"[^\w.]+", "-", path.stem if path.is_file() else path.name).strip("-._").lower()
    return name[:64] or "app"


def data_folder(root: Path, settings: Settings, single: Path | None) -> Path:
    """Where the databases go: PENSTOCK_DATA, `[app] data`, `.penstock` in the app, or a folder of the user.

    Under PENSTOCK_DATA each app has a folder of its own, so that one setting of a shell serves many apps.
    """
    digest = hashlib.sha256(os.fsencode(single or root)).hexdigest()[:12]
    own = f"{settings.app.name}-{digest}"
    if shared := os.environ.get("PENSTOCK_DATA"):
        return Path(shared).expanduser().absolute() / own
    if settings.app.data:
        return (root / Path(settings.app.data).expanduser()).absolute()
    inside = root / DATA_FOLDER
    if single is None and os.access(inside if inside.is_dir() else root, os.W_OK | os.X_OK):
        return inside
    return _user_data_folder() / own


def _user_data_folder() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "penstock"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "penstock"


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        line = file.read_bytes()[: error.start].count(b"\n") + 1
        raise ConfigError(f"{_shown(file)}:{line}: not UTF-8 text.", hint="Save the file as UTF-8.") from None
    except OSError as error:
        raise ConfigError(
            f"{_shown(file)} cannot be read: {error.strerror}.", hint="Check its permissions."
        ) from None


def _shown(file: Path) -> str:
    """The path as short as an editor can follow it."""
    here = Path.cwd()
    return str(file.relative_to(here) if file.is_relative_to(here) else file)


def _parse(text: str, file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        found = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
        line = found[1] if found and found[1] else str(max(1, text.rstrip().count("\n") + 1))
        what = message[: found.start()] if found else message
        raise ConfigError(
            f"{_shown(file)}:{line}: not valid TOML: {what[:1].lower()}{what[1:]}.",
            hint="Text needs quotes; a table starts with its name in brackets, such as [server].",
        ) from None
    except RecursionError:
        raise ConfigError(f"{_shown(file)}: not valid TOML: nested too deeply.") from None


def _override(raw: dict[str, Any], overrides: Overrides) -> None:
    for path, value in overrides.items():
        table = raw
        for part in path[:-1]:
            inner = table.setdefault(str(part), {})
            if not isinstance(inner, dict):
                return  # the file is wrong here, and validation says how
            table = inner
        table[str(path[-1])] = value


def _infer(raw: dict[str, Any], root: Path, file: Path | None, single: Path | None) -> None:
    """Fills in what an app needs and its file does not say; leaves what is wrong for validation to report."""
    gateway = _is_gateway(raw, root, file)
    models = raw.setdefault("models", {})
    if isinstance(models, dict) and not gateway:
        models.setdefault("default", {"use": DEFAULT_MODEL})
    knowledge = raw.setdefault("knowledge", {})
    if knowledge == {} and not gateway:
        knowledge["docs"] = {"embedder": DEFAULT_EMBEDDER}
    tables = knowledge.values() if isinstance(knowledge, dict) else ()
    for table in tables:
        if isinstance(table, dict):
            table.setdefault(
                "sources", _infer_sources(root, file, single, others=bool(OTHER_SOURCES & table.keys()))
            )
    app = raw.setdefault("app", {})
    if isinstance(app, dict):
        readable = isinstance(models, dict) and isinstance(knowledge, dict)
        name = infer_name(single or root)
        app.setdefault("name", f"{name}-app" if readable and name in taken_names(models, knowledge) else name)


def _is_gateway(raw: dict[str, Any], root: Path, file: Path | None) -> bool:
    """Whether models are named and nothing is there to know: `[knowledge]` is empty, or the folder is."""
    if file is None or not raw.get("models"):
        return False
    if "knowledge" in raw:
        return bool(raw["knowledge"] == {})
    own = {pattern.partition("/")[0] for pattern in OWN_FILES}
    return all(entry.name in own or entry.name.startswith(".") for entry in root.iterdir())


def _infer_sources(root: Path, file: Path | None, single: Path | None, *, others: bool) -> list[str]:
    """Patterns of the app's own files; `others` says that documents come from elsewhere, too."""
    if single:
        return [glob.escape(single.name)]
    if file and (root / "docs").is_dir():
        return ["docs/**/*"]
    return [] if others else ["**/*"]


def _near_sibling(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return "."
    near = difflib.get_close_matches(path.name, names, 1)
    return f"; did you mean {str(path.parent / near[0])!r}?" if near else "."
