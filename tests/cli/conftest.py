"""A folder of documents of one's own, with no trace of the user's settings."""

from pathlib import Path

import pytest

RETURNS = """# Returns

## How long

A customer can return a product within 30 days of delivery. Worn shoes are not taken back.

## Refunds

Refunds take five working days. They go to the card that paid.
"""


@pytest.fixture
def documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("PENSTOCK_DATA", "PENSTOCK_DEBUG", "NO_COLOR", "FORCE_COLOR", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "my shop’s rules"
    folder.mkdir()
    (folder / "returns.md").write_text(RETURNS)
    return folder
