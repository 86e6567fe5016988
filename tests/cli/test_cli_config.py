"""`penstock config` and `penstock init`: what is shown or written down loads to the same settings."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from penstock.cli.main import app
from penstock.config import load

RUNNER = CliRunner()


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = RUNNER.invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_what_init_writes_loads_to_what_was_inferred(documents: Path) -> None:
    inferred = load(documents)
    code, output, _ = run("init", documents)
    assert code == 0
    assert output.splitlines() == [
        f"wrote {documents / 'penstock.toml'}",
        f"wrote {documents / 'prompts' / 'answer.md'}",
    ]
    written = load(documents)
    assert written.file == documents / "penstock.toml"
    assert (written.settings, written.data) == (inferred.settings, inferred.data)
    assert run("config", "check", documents)[0] == 0


def test_init_overwrites_nothing(documents: Path) -> None:
    (documents / "prompts").mkdir()
    (documents / "prompts" / "answer.md").write_text("mine")
    assert run("init", documents)[0] == 0
    assert (documents / "prompts" / "answer.md").read_text() == "mine"
    settings = (documents / "penstock.toml").read_text()
    code, _, error = run("init", documents)
    assert code == 2
    assert "penstock.toml is there already." in error
    assert (documents / "penstock.toml").read_text() == settings


def test_init_of_a_file_says_what_to_do(documents: Path) -> None:
    code, _, error = run("init", documents / "returns.md")
    assert code == 2
    assert "hint: Put returns.md into a folder, and run `penstock init` on that." in error
    assert list(documents.iterdir()) == [documents / "returns.md"]


def test_what_show_prints_loads_to_the_same_settings(documents: Path) -> None:
    (documents / "penstock.toml").write_text(
        '[app]\nname = "shop"\n[models.strong]\nuse = "openai/x"\napi_key = { env = "K" }\n'
        '[knowledge.rules]\nsources = ["*.md", "ünï \\"code\\""]\n[server]\nport = 0\n'
    )
    before = load(documents)
    code, output, _ = run("config", "show", documents)
    assert code == 0
    (documents / "penstock.toml").write_text(output)
    assert load(documents).settings == before.settings


def test_show_as_json(documents: Path) -> None:
    code, output, _ = run("config", "show", documents, "--json")
    shown = json.loads(output)
    assert code == 0
    assert shown["file"] is None
    assert shown["data"] == str(documents / ".penstock")
    assert shown["settings"]["models"]["default"]["use"] == "smollm2-135m-instruct"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[models.default]\nuse = "smollm-135m-instruct"',
            ":2: models.default.use: model 'smollm-135m-instruct' is not in the catalog; did you mean "
            "'smollm2-135m-instruct'?",
        ),
        (
            '[models.strong]\nuse = "opnai/gpt-4.1"',
            ":2: models.strong.use: There is no vendor 'opnai' (of 'opnai/gpt-4.1'); did you mean 'openai'?",
        ),
        (
            '\n[knowledge.docs]\nembedder = "minilm"',
            ":3: knowledge.docs.embedder: model 'minilm' is not in the catalog",
        ),
    ],
)
def test_check_finds_models_that_do_not_exist(documents: Path, text: str, message: str) -> None:
    (documents / "penstock.toml").write_text(text)
    code, _, error = run("config", "check", documents)
    assert code == 2
    assert f"{documents / 'penstock.toml'}{message}" in error


def test_check_finds_a_wrong_prompt(documents: Path) -> None:
    assert run("init", documents)[0] == 0
    (documents / "prompts" / "answer.md").write_text("---\n---\n# user\n\n{{ qestion }}\n")
    code, _, error = run("config", "check", documents)
    assert code == 2
    assert "answer.md" in error and "qestion" in error and "question" in error


def test_keys_as_json_lists_every_table() -> None:
    code, output, _ = run("config", "keys", "--json")
    assert code == 0
    headers = [section["header"] for section in json.loads(output)]
    assert headers[:2] == ["app", "models.NAME"]
    assert {"models.NAME.difficulty", "models.NAME.targets", "knowledge.NAME", "server", "traces"} < set(headers)
