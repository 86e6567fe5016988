"""How the app answers, as `penstock.toml` says it; what means nothing is refused by name."""

from pathlib import Path

import pytest

from penstock.config import AppFolder, load
from penstock.errors import ConfigError


def folder_with(root: Path, lines: str) -> AppFolder:
    (root / "penstock.toml").write_text(lines, encoding="utf-8")
    (root / "a.md").write_text("All ships obey.", encoding="utf-8")
    return load(root)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("[app]\npassages = 0", "app.passages must be"),
        ("[app]\npassages = 21", "app.passages must be"),
        ('[app]\npassages = "4"', "app.passages must be"),
    ],
)
def test_what_means_nothing_is_refused(tmp_path: Path, lines: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        folder_with(tmp_path, lines)
    assert message in str(refused.value)


def test_passages_are_as_the_file_says(tmp_path: Path) -> None:
    assert folder_with(tmp_path, "[app]\npassages = 7").settings.app.passages == 7
    assert folder_with(tmp_path, "").settings.app.passages is None
