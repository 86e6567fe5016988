"""How documents are read, cut and kept, as `penstock.toml` says it; what means nothing is refused."""

from pathlib import Path

import pytest

from penstock.config import AppFolder, load
from penstock.errors import ConfigError
from penstock.platform.chunking import options_of
from penstock.testing.embedder import FakeEmbedder


def folder_with(root: Path, lines: str) -> AppFolder:
    (root / "penstock.toml").write_text(f"[knowledge.docs]\n{lines}\n", encoding="utf-8")
    (root / "a.md").write_text("All ships obey.", encoding="utf-8")
    return load(root)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('chunking = "pages"', "chunking must be"),
        ("chunk_sentences = 3", "chunk_sentences is only for chunking = 'sentences', not 'structure'"),
        ('chunking = "code"\nparent_tokens = 900', "parent_tokens is only for chunking = 'parents', not 'code'"),
        ("chunk_overlap = 101", "chunk_overlap must be at most half of chunk_tokens (100), not 101"),
        ('chunking = "semantic"\nchunk_overlap = 10', "chunk_overlap is not for chunking = 'semantic'"),
        (
            'chunking = "parents"\nparent_tokens = 200',
            "parent_tokens must be more than chunk_tokens (200)",
        ),
        (
            'ocr_languages = ["German"]',
            "'German' must be a language by Tesseract's name, such as 'deu'",
        ),
        ('ocr_languages = ["eng; rm"]', "'eng; rm' must be a language by Tesseract's name"),
        ("keep_generations = 0", "keep_generations must be"),
    ],
)
def test_what_means_nothing_is_refused(tmp_path: Path, lines: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        folder_with(tmp_path, lines)
    assert message in str(refused.value)


def test_a_strategy_with_its_settings_is_taken(tmp_path: Path) -> None:
    folder = folder_with(
        tmp_path, 'chunking = "parents"\nchunk_tokens = 64\nparent_tokens = 400\nchunk_overlap = 16'
    )
    settings = folder.settings.knowledge["docs"]
    assert (settings.chunking, settings.chunk_tokens, settings.parent_tokens) == ("parents", 64, 400)


def test_languages_and_generations_reach_those_who_read_and_keep(tmp_path: Path) -> None:
    settings = folder_with(tmp_path, 'ocr_languages = ["deu", "chi_sim"]\nkeep_generations = 2').settings
    options = options_of(settings.knowledge["docs"], FakeEmbedder())
    assert (options.ocr_languages, options.keep_generations) == (("deu", "chi_sim"), 2)
