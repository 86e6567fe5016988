"""`penstock config`: what an app's settings are, whether they are right, and which there are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from penstock.cli.arguments import HERE, AppPath, AsJson, examples
from penstock.cli.output import note, say, say_json
from penstock.cli.prose import indented

if TYPE_CHECKING:
    from penstock.config import AppFolder
    from penstock.config.differences import Difference

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, help="Show, check and reload an app's settings.")


@app.command("show", epilog=examples("penstock config show my-docs/", "penstock config show my-docs/ --json"))
def show(path: AppPath = HERE, as_json: AsJson = False) -> None:
    """Print all settings of an app, the inferred ones and the defaults too, as TOML."""
    from penstock.config import load

    folder = load(path)
    if as_json:
        say_json(
            {
                "root": str(folder.root),
                "file": str(folder.file) if folder.file else None,
                "data": str(folder.data),
                "settings": folder.settings.model_dump(mode="json"),
            }
        )
        return
    say((f"# {folder.file or f'{folder.root} has no penstock.toml: all of this is inferred'}", "dim"))
    say((f"# Databases are in {folder.data}", "dim"))
    for line in _all_settings(folder):
        say(line)


@app.command("check", epilog=examples("penstock config check my-docs/"))
def check(path: AppPath = HERE) -> None:
    """Say whether an app's settings are right; every problem comes with its line and the nearest right name."""
    from penstock.config import load

    folder = load(path)
    verify(folder)
    say(("ok", "green"), f"  {folder.file or f'{folder.root} (no penstock.toml: the defaults)'}")


@app.command("keys", epilog=examples("penstock config keys"))
def keys(as_json: AsJson = False) -> None:
    """List every setting of `penstock.toml`, with its default and what it does."""
    from penstock.config.reference import sections

    if as_json:
        say_json(list(sections()))
        return
    for section in sections():
        say((f"[{section.header}]", "bold"), f"  {section.about}")
        for setting in section.settings:
            default = f" = {setting.default}" if setting.default else ""
            say("  ", (setting.key.rpartition(".")[2], "cyan"), f"{default}  ({setting.type.replace('`', '')})")
            say(indented(setting.description.replace("`", ""), "      "))
        say("")


@app.command("diff", epilog=examples("penstock config diff my-docs/", "penstock config diff my-docs/ --json"))
def diff(path: AppPath = HERE, as_json: AsJson = False) -> None:
    """Show what `penstock.toml` says that the running server has not taken over yet."""
    from penstock.http.api.config import Changes

    changes = _ask("GET", "/api/v1/config/changes", path, Changes).data
    if as_json:
        say_json(changes)
        return
    for each in changes:
        _show(each)
    if not changes:
        note("The server runs what the file says.")
    elif any(each.restart for each in changes):
        note("What is marked needs a restart; a reload refuses the file as long as it differs.")
    else:
        note("`penstock config reload` takes it over.")


@app.command("reload", epilog=examples("penstock config reload my-docs/"))
def reload(path: AppPath = HERE, as_json: AsJson = False) -> None:
    """Let the running server take `penstock.toml` over, without a request being lost; SIGHUP does the same."""
    from penstock.http.api.config import Changes

    changes = _ask("POST", "/api/v1/config/reload", path, Changes).data
    if as_json:
        say_json(changes)
        return
    for each in changes:
        _show(each)
    note("Reloaded." if changes else "Reloaded; nothing has changed.")


def _ask(method: str, address: str, path: Path, kind: type[T]) -> T:
    """Raises `ConfigError` for a file that is wrong, `Unavailable` where no server runs."""
    import msgspec

    from penstock.client import Server
    from penstock.config import load
    from penstock.errors import Unavailable
    from penstock.storage.lock import announced_server

    found = announced_server(load(path).data)
    if found is None:
        raise Unavailable(f"No server runs for {str(path)!r}.", hint="Start it with `penstock up`.")
    server = Server.of(found)
    answer = server.get(address) if method == "GET" else server.post(address, {})
    return msgspec.convert(answer, kind)


def _show(change: Difference) -> None:
    from penstock.config.reference import toml

    say((change.key, "bold"), ("  needs a restart" if change.restart else "", "yellow"))
    if change.running is not None:
        say((f"  - {toml(change.running)}", "red"))
    if change.file is not None:
        say((f"  + {toml(change.file)}", "green"))


Check = Callable[[tuple[str | int, ...], Callable[[], object]], None]


def verify(folder: AppFolder) -> None:
    """Raises `ConfigError` where a model or an embedder cannot be had, or where the prompt is wrong."""
    from penstock.errors import ConfigError, PenstockError
    from penstock.prompts.answer import answer_prompt

    def check(path: tuple[str | int, ...], find: Callable[[], object]) -> None:
        try:
            find()
        except PenstockError as error:
            raise ConfigError(f"{folder.where(*path)}: {error.message}", hint=error.hint) from None

    _verify_models(folder, check)
    _verify_readers(folder, check)
    if folder.file:
        answer_prompt(folder.root / "prompts" / "answer.md")


def _verify_models(folder: AppFolder, check: Check) -> None:
    from penstock.config.endpoints import is_remote
    from penstock.models.catalog import lookup
    from penstock.models.providers.vendors import remote, remote_of
    from penstock.models.sources.address import is_address

    for name, model in folder.settings.models.items():
        for number, target in enumerate(model.backends):
            path = ("models", name, *(("targets", number) if model.targets else ()), "use")
            if target.remote:
                check(path, partial(remote_of, target))
            elif not is_address(target.use):
                check(path, partial(lookup, target.use))
        for place, other in model.leads_to:
            if is_remote(other):
                check(("models", name, *place), partial(remote, other))


def _verify_readers(folder: AppFolder, check: Check) -> None:
    """Embedders and rerankers, by their tables or by their names alone."""
    from penstock.models.reading import check_embedder, check_reranker

    settings = folder.settings
    for name, knowledge in settings.knowledge.items():
        if knowledge.embedder not in settings.embedders:
            embedder = settings.embedder(knowledge.embedder)
            check(("knowledge", name, "embedder"), partial(check_embedder, embedder, folder.root))
    for name, embedder in settings.embedders.items():
        check(("embedders", name), partial(check_embedder, embedder, folder.root))
    for name, reranker in settings.rerankers.items():
        check(("rerankers", name), partial(check_reranker, reranker, folder.root))


def _all_settings(folder: AppFolder) -> list[str]:
    from pydantic import BaseModel

    from penstock.config.reference import toml

    def table(header: str, model: Any) -> list[str]:
        hidden = getattr(model, "irrelevant", ())
        values = {key: getattr(model, key) for key in type(model).model_fields if key not in hidden}
        plain = {key: value for key, value in values.items() if value is not None and not is_table(value)}
        lines = ["", header, *(f"{key} = {toml(value)}" for key, value in plain.items())]
        name = header.strip("[]")
        for key, value in values.items():
            if isinstance(value, tuple) and is_table(value):
                lines += [line for each in value for line in table(f"[[{name}.{key}]]", each)]
            elif is_table(value):
                lines += table(f"[{name}.{key}]", value)
        return lines

    def is_table(value: Any) -> bool:
        return isinstance(value[0] if isinstance(value, tuple) and value else value, BaseModel)

    lines: list[str] = []
    for name in type(folder.settings).model_fields:
        value = getattr(folder.settings, name)
        if isinstance(value, dict):
            lines += [line for key, each in value.items() for line in table(f"[{name}.{key}]", each)]
        elif isinstance(value, tuple):
            lines += [line for each in value for line in table(f"[[{name}]]", each)]
        else:
            lines += table(f"[{name}]", value)
    return lines
