"""What the docs say is true: Python examples run, links lead somewhere, and nothing is loaded from elsewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")])
FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<code>.*?)^```$", re.M | re.S)
LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")


def examples() -> list[object]:
    """Every block marked `python run`, as one test each."""
    found = []
    for page in PAGES:
        for number, block in enumerate(FENCE.finditer(page.read_text())):
            if block["info"].split() == ["python", "run"]:
                found.append(pytest.param(block["code"], id=f"{page.relative_to(ROOT)}-{number}"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text())
    for match in LINK.finditer(text):
        target = match["target"].partition("#")[0]
        if target and "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which does not exist"


@pytest.mark.parametrize("code", examples())
def test_examples_run(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minilm_folder: Path) -> None:
    """Runs in an empty folder that holds `my-docs` with one page to ask."""
    (tmp_path / "my-docs").mkdir()
    (tmp_path / "my-docs" / "returns.md").write_text(
        "# Returns\n\nA customer can return a product within 30 days of delivery. Refunds take five working days.\n"
    )
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "example", "exec"), {"__name__": "__main__"})
