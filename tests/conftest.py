"""Fixtures that several test files share."""

from pathlib import Path

import pytest

SUPPORT = Path(__file__).parent / "support"


@pytest.fixture
def support_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a child process import the modules of `tests/support`."""
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))
