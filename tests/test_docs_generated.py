"""The pages that are made from the code are as the code would make them, and what they show is accepted."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from penstock.config import Settings, load
from penstock.config.reference import sections

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_docs", ROOT / "scripts" / "write_docs.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["configuration.md", "cli.md", "api.md"])
def test_the_page_is_what_the_code_says(writer: ModuleType, name: str) -> None:
    assert (DOCS / name).read_text() == writer.page(name), "run `python scripts/write_docs.py`"


def test_every_setting_says_what_it_does() -> None:
    settings = [setting for section in sections() for setting in section.settings]
    assert len(settings) > 20
    assert [setting.key for setting in settings if len(setting.description) < 20] == []
    assert {section.header.split(".")[0] for section in sections()} == set(Settings.model_fields)


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_settings_that_the_docs_show_are_accepted(page: Path, tmp_path: Path) -> None:
    for number, block in enumerate(re.findall(r"^```toml\n(.*?)^```$", page.read_text(), re.M | re.S)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "penstock.toml").write_text(block)
        load(folder)


def test_every_environment_variable_is_documented() -> None:
    used = set()
    for file in (ROOT / "src").rglob("*.py"):
        used |= set(re.findall(r"""environ(?:\.get\(|\[)["'](PENSTOCK_\w+)""", file.read_text()))
    assert used >= {"PENSTOCK_DATA", "PENSTOCK_CACHE"}
    page = (DOCS / "configuration.md").read_text()
    assert [name for name in sorted(used) if f"`{name}`" not in page] == []
