"""A plan as penstock.toml, with what was not taken over in comments at its end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from penstock.config.secret import Secret
from penstock.migrate.litellm.values import Plan

ORDER = ("models", "limits", "keys", "cache", "prices")


def as_toml(plan: Plan, name: str) -> str:
    lines = [
        "# Taken over from LiteLLM by `penstock migrate litellm`. `penstock config check` checks a change.",
        *variables(plan),
        "",
        "[app]",
        f"name = {value(name)}",
        "",
        "[knowledge]  # none: a gateway",
        "",
    ]
    for section in ORDER:
        content = plan.tables.get(section)
        if isinstance(content, list):
            for each in content:
                lines += [f"[[{section}]]", *fields(each), ""]
        elif section == "cache" and content:
            lines += ["[cache]", *fields(content), ""]
        elif content:
            for key, each in content.items():
                lines += table(f"{section}.{name_of(key)}", each)
    lines += notes(plan)
    return "\n".join(lines).rstrip() + "\n"


def variables(plan: Plan) -> Iterator[str]:
    if plan.variables:
        yield "# It needs these variables in the environment, beside those that LiteLLM had:"
        for variable, content in plan.variables.items():
            yield f"#   {variable}: {content}"


def notes(plan: Plan) -> Iterator[str]:
    """Nothing is dropped silently: each setting that is not here as it was, with its place."""
    for outcome, title in (("changed", "Holds differently here"), ("left out", "Not taken over")):
        chosen = [note for note in plan.notes if note.outcome == outcome]
        if chosen:
            yield f"# {title}:"
            yield from (f"#   {one_line(note.where)}: {one_line(note.what)}" for note in chosen)
            yield ""


def table(path: str, content: dict[str, Any]) -> Iterator[str]:
    yield f"[{path}]"
    yield from fields(content)
    yield ""
    for target in content.get("targets", ()):
        yield f"[[{path}.targets]]"
        yield from fields(target)
        yield ""


def fields(content: dict[str, Any]) -> Iterator[str]:
    for key, each in content.items():
        if key != "targets":
            yield f"{name_of(key)} = {value(each)}"


def value(each: object) -> str:
    if isinstance(each, Secret):
        return f"{{ env = {json.dumps(each.env)} }}"
    if isinstance(each, dict):
        return "{ " + ", ".join(f"{name_of(key)} = {value(inner)}" for key, inner in each.items()) + " }"
    if isinstance(each, list | tuple):
        return f"[{', '.join(map(value, each))}]"
    if isinstance(each, float) and each == int(each) and abs(each) < 1e15:
        return f"{each:.1f}"
    return json.dumps(each, ensure_ascii=True)


def name_of(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=True)


def one_line(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text)
