"""How the app answers, as `penstock.toml` says it; what means nothing is refused by name."""

from pathlib import Path

import pytest

from penstock.config import AppFolder, load
from penstock.errors import ConfigError
from penstock.platform import answering_models


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
        ('[app]\nrewrites = ["gaps"]', "app.rewrites[0] must be"),
        ('[app]\nrewrites = "phrasings"', "app.rewrites must be"),
        ("[app]\nrewrite_seconds = 0", "app.rewrite_seconds must be"),
        ("[app]\nrewrite_seconds = 61", "app.rewrite_seconds must be"),
        ('[app]\nrewrite_model = "fast"', "app.rewrite_model is 'fast', but there is no [models.fast]"),
    ],
)
def test_what_means_nothing_is_refused(tmp_path: Path, lines: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        folder_with(tmp_path, lines)
    assert message in str(refused.value)


def test_passages_are_as_the_file_says(tmp_path: Path) -> None:
    assert folder_with(tmp_path, "[app]\npassages = 7").settings.app.passages == 7
    assert folder_with(tmp_path, "").settings.app.passages is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("true", ("follow-ups", "phrasings", "rounds")),
        ("false", ()),
        ('["phrasings"]', ("phrasings",)),
    ],
)
def test_a_model_words_what_the_file_says(tmp_path: Path, value: str, words: tuple[str, ...]) -> None:
    settings = folder_with(tmp_path, f"[app]\nrewrites = {value}").settings
    assert settings.app.rewrites == words
    assert answering_models(settings) == (["default"] if words else [])


def test_the_model_that_words_searches_is_one_that_answers_need(tmp_path: Path) -> None:
    app = '[app]\nrewrites = ["phrasings"]\nrewrite_model = "fast"\nmode = "quote"'
    assert answering_models(folder_with(tmp_path, f'{app}\n[models.fast]\nuse = "openai/gpt-5"').settings) == [
        "fast"
    ]
