"""`penstock init`: writes down what would be inferred, ready to be changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from penstock.cli.arguments import HERE, AppPath, examples
from penstock.cli.output import note, say
from penstock.errors import ConfigError

if TYPE_CHECKING:
    from penstock.config import AppFolder

EXAMPLES = examples("penstock init my-docs/")


def init(path: AppPath = HERE) -> None:
    """Write down an app's settings and prompt as files, so that you can change them. Overwrites nothing."""
    from penstock.config import load

    folder = load(path)
    if folder.single:
        raise ConfigError(
            f"{path} is a file, and an app with settings is a folder.",
            hint=f"Put {folder.single.name} into a folder, and run `penstock init` on that.",
        )
    target = folder.root / "penstock.toml"
    if folder.file:
        raise ConfigError(f"{target} is there already.", hint="Edit it, or delete it to start again.")
    prompt, text = folder.root / "prompts" / "answer.md", _default_prompt()
    _write(target, as_toml(folder))
    if not prompt.exists():
        _write(prompt, text)
    note(f"`penstock config check {path}` checks a change; `penstock config keys` lists every setting.")


def as_toml(folder: AppFolder) -> str:
    """The settings of an app as a commented file that loads to the same settings."""
    from penstock.config.reference import toml

    app = folder.settings.app
    model = folder.settings.models["default"]
    lines = [
        "# The settings of this app. Whatever is left out has its default: `penstock config keys` lists them all.",
        "",
        "[app]",
        f"name = {toml(app.name)}  # what clients pass as `model`",
        f'mode = {toml(app.mode)}  # or "quote": the documents\' own sentences; "compose": the model writes',
        "",
        "[models.default]",
        f"use = {toml(model.use)}  # or, for example:",
        '# use = "openai/gpt-4.1-mini"',
        '# api_key = { env = "OPENAI_API_KEY" }  # never the key itself',
    ]
    for name, knowledge in folder.settings.knowledge.items():
        lines += [
            "",
            f"[knowledge.{name}]",
            f"sources = {toml(knowledge.sources)}",
            f"exclude = {toml(knowledge.exclude)}",
            f"embedder = {toml(knowledge.embedder)}",
        ]
    return "\n".join(lines) + "\n"


def _default_prompt() -> str:
    from importlib import resources

    return resources.files("penstock.prompts").joinpath("answer.md").read_text("utf-8")


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(exist_ok=True)
        with file.open("x", encoding="utf-8") as handle:
            handle.write(text)
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}.", hint="Check its permissions.") from error
    say(f"wrote {file}")
