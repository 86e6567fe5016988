"""Imports point down: the list of layers in docs/architecture.md, held against every import of every module.

Imports inside functions and under TYPE_CHECKING count as well: a type from above is knowledge of above.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "penstock"
MODULES = sorted(PACKAGE.rglob("*.py"))
FOUNDATION = 1
"""The row whose parts may import each other."""


def rows() -> dict[str, int]:
    """Each part of the package and its row, as the document numbers them from the bottom up."""
    section = (ROOT / "docs" / "architecture.md").read_text().partition("\n## Layers\n")[2].partition("\n## ")[0]
    found: dict[str, int] = {}
    for line in re.findall(r"^\d+\. .*(?:\n   .*)*", section, re.M):
        number, _, text = line.partition(".")
        for part in re.findall(r"`(\w+)`", text.partition("(")[0]):
            assert part not in found, f"{part} stands in two rows"
            found[part] = int(number)
    return found


ROWS = rows()


def module_name(path: Path) -> str:
    name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    return name.removesuffix(".__init__")


def part_of(module: str) -> str:
    """`penstock.http.api.traces` belongs to the part `http`; the package's own file is the part `__init__`."""
    names = module.split(".")
    return names[1] if len(names) > 1 else "__init__"


def imported(tree: ast.Module, module: str, is_package: bool) -> Iterator[tuple[int, str]]:
    """The line and the dotted name of each thing of the package that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                above = module.split(".")[: None if is_package and node.level == 1 else -(node.level - is_package)]
                source = ".".join([*above, source]).rstrip(".")
            names = [f"{source}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name == "penstock" or name.startswith("penstock."):
                yield node.lineno, name


def target_of(name: str) -> str:
    """The part that an imported name leads to; a public name such as `penstock.App` leads to the package's file."""
    part = part_of(name)
    return part if (PACKAGE / part).is_dir() or (PACKAGE / f"{part}.py").is_file() else "__init__"


def violations(source: str, module: str, is_package: bool = False) -> list[str]:
    """What a module imports against the layers, each with its line and the reason."""
    own = part_of(module)
    found = []
    for line, name in imported(ast.parse(source), module, is_package):
        target = target_of(name)
        if target == own:
            continue
        if missing := {target, own} - ROWS.keys():
            found.append(f"line {line}: {', '.join(missing)} stands in no row of docs/architecture.md")
        elif ROWS[target] > ROWS[own]:
            found.append(f"line {line}: {own} (row {ROWS[own]}) imports {name} from above (row {ROWS[target]})")
        elif ROWS[target] == ROWS[own] != FOUNDATION:
            found.append(f"line {line}: {own} imports {name}, its sibling in row {ROWS[own]}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: module_name(path))
def test_imports_point_down(path: Path) -> None:
    assert violations(path.read_text(), module_name(path), path.name == "__init__.py") == []


def test_the_document_names_every_part_and_no_other() -> None:
    packages = {path.name for path in PACKAGE.iterdir() if path.is_dir() and list(path.glob("*.py"))}
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    assert packages | modules == ROWS.keys()


@pytest.mark.parametrize(
    ("module", "source", "reason"),
    [
        ("penstock.traces.store", "from penstock.http.routes import reply", "imports penstock.http.routes.reply"),
        ("penstock.traces.store", "import penstock.cli", "from above"),
        ("penstock.traces.store", "from penstock import platform", "from above"),
        ("penstock.traces.store", "from penstock import App", "from above"),
        ("penstock.traces.store", "from ..gateway import pipeline", "from above"),
        (
            "penstock.traces.store",
            "if TYPE_CHECKING:\n    from penstock.gateway.services import Services",
            "line 2",
        ),
        ("penstock.traces.store", "def late():\n    from penstock.knowledge import base", "line 2"),
        ("penstock.http.server", "from penstock.console.routes import routes", "its sibling"),
        ("penstock.models.pull", "import penstock.prompts.template as prompts", "its sibling"),
    ],
)
def test_an_import_against_the_layers_is_found(module: str, source: str, reason: str) -> None:
    (found,) = violations(source, module)
    assert reason in found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("penstock.traces.store", "from penstock.storage.database import Database"),
        ("penstock.traces.store", "from . import repository\nfrom .writer import TraceWriter"),
        ("penstock.exchange", "from penstock.seams import Tracer"),
        ("penstock.http.api.traces", "from ..routes import reply"),
        ("penstock.traces.store", "import penstockish\nfrom penstocks.gateway import x"),
    ],
)
def test_an_import_with_the_layers_is_fine(module: str, source: str) -> None:
    assert violations(source, module) == []


SQL_MAY_STAND_IN = re.compile(r"storage/.*|.*/(repository|tables)\.py|knowledge/stores/.*")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: module_name(path))
def test_sql_stays_where_it_belongs(path: Path) -> None:
    place = path.relative_to(PACKAGE).as_posix()
    if SQL_MAY_STAND_IN.fullmatch(place):
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        databases = [name for name in names if name.split(".")[0] in ("sqlalchemy", "sqlite3", "alembic")]
        assert not databases, f"{place} line {node.lineno} imports {databases[0]}: put the SQL into a repository"
