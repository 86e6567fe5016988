"""`penstock knowledge search`: passages with their scores, and mistakes said with what to do."""

import json
from pathlib import Path

import pytest
from support.terminal import piped

pytestmark = pytest.mark.usefixtures("minilm_folder")


def test_passages_come_with_both_scores(documents: Path) -> None:
    shown = piped(["knowledge", "search", str(documents), "return a product", "--limit", "1"])
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("1. returns.md › Returns")
    assert "within 30 days" in shown.stdout
    found = json.loads(piped(["knowledge", "search", str(documents), "return a product", "--json"]).stdout)
    assert found["generation"] == 1
    assert 0 < found["hits"][0]["vector_score"] <= 1
    words = piped(["knowledge", "search", str(documents), "zebra", "--mode", "text"])
    assert (words.returncode, words.stdout, words.stderr) == (0, "", "Nothing was found.\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--filter", "[1]"), "--filter '[1]' is no JSON object."),
        (("--filter", '{"team": {"near": 1}}'), "'near' is no comparison"),
        (("--mode", "odd"), "Modes are hybrid, dense and text."),
        (("--knowledge", "other"), "There is no knowledge 'other'."),
        (("--filter", "{}", "--limit", "0"), "Invalid value for '--limit'"),
    ],
)
def test_what_cannot_be_searched_for(documents: Path, options: tuple[str, ...], message: str) -> None:
    shown = piped(["knowledge", "search", str(documents), "returns", *options])
    assert shown.returncode != 0
    assert message in shown.stderr
