"""Writes the parts of the docs that are made from the code: every setting, every command's help, every route.

    python scripts/write_docs.py

A test fails while a page differs from what this would write.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from penstock.cli.main import app
from penstock.config.reference import sections
from penstock.http import openapi
from penstock.http.answering import Running
from penstock.http.server import described_routes

DOCS = Path(__file__).resolve().parents[1] / "docs"
WIDTH = 100


def settings() -> str:
    """A table for each table of `penstock.toml`."""
    lines: list[str] = []
    for section in sections():
        header = f"[[{section.header}]]" if section.is_list else f"[{section.header}]"
        lines += [f"### `{header}`", "", section.about, ""]
        lines += ["| setting | value | default | what it does |", "|---|---|---|---|"]
        for setting in section.settings:
            name, default = setting.key.rpartition(".")[2], setting.default and f"`{setting.default}`"
            lines.append(f"| `{name}` | {setting.type} | {default} | {setting.description} |")
        lines.append("")
    return "\n".join(lines)


def commands() -> str:
    """Every command's own help."""
    lines: list[str] = []
    for words in names(typer.main.get_command(app)):
        help_text = CliRunner().invoke(app, [*words, "--help"], prog_name="penstock", terminal_width=WIDTH).output
        lines += [f"### `penstock {' '.join(words)}`", "", "```text", help_text.strip(), "```", ""]
    return "\n".join(lines)


def names(command: object) -> Iterator[tuple[str, ...]]:
    """The words of every command that does something, in the order of the help."""
    for name, inner in command.commands.items() if isinstance(command, TyperGroup) else ():
        if isinstance(inner, TyperGroup):
            yield from ((name, *rest) for rest in names(inner))
        else:
            yield (name,)


def routes() -> str:
    """A row for each route of the OpenAPI file."""
    lines = ["| route | what it does | least role |", "|---|---|---|"]
    described = described_routes(Running())
    for route in [*described, openapi.route(described)]:
        said = route.description
        lines.append(f"| `{route.method} {route.path_format}` | {said.summary} | {said.role or 'none'} |")
    return "\n".join([*lines, ""])


PAGES: dict[str, Callable[[], str]] = {"configuration.md": settings, "cli.md": commands, "api.md": routes}


def page(name: str) -> str:
    """A page of the docs with its generated part made anew."""
    text = (DOCS / name).read_text()
    start, end = "<!-- made by scripts/write_docs.py -->\n", "<!-- end -->"
    pattern = re.compile(f"(?<={re.escape(start)}).*?(?={re.escape(end)})", re.S)
    assert pattern.search(text), f"{name} does not say where its generated part goes"
    return pattern.sub(lambda match: f"\n{PAGES[name]()}\n", text)


if __name__ == "__main__":
    for name in PAGES:
        (DOCS / name).write_text(page(name))
