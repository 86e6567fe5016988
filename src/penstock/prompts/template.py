"""A prompt is a versioned file: front matter, then the messages by role as headed sections.

    ---
    description: Answers from passages
    temperature: 0.2
    ---
    # system
    Answer from the passages only.

    # user
    {{ question }}

The file is a template (Jinja, sandboxed); what fills it never is. Sections are cut and compiled before any
value is known, so neither a document nor a question can add a message, call anything or reach a name.
"""

from __future__ import annotations

import difflib
import re
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import msgspec
import yaml
from jinja2 import meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from msgspec import Struct

from penstock.errors import ConfigError
from penstock.exchange import Message
from penstock.ids import content_id

ROLES = ("system", "user", "assistant")
SECTION = re.compile(rf"^#[ \t]+({'|'.join(ROLES)})[ \t]*$", re.IGNORECASE | re.MULTILINE)
GLOBALS = frozenset({"range", "loop", "dict", "namespace"})
FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?\n)?---[ \t]*(?:\n|\Z)", re.DOTALL)


class PromptSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The front matter: what the prompt is for, and how to generate where the caller does not say."""

    description: str = ""
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()


class Section(Struct, frozen=True):
    """One message of the template, compiled."""

    role: str
    template: jinja2.Template


class Prompt(Struct, frozen=True):
    """A loaded prompt. `digest` changes with every character of the file; releases are made of it."""

    name: str
    file: str
    digest: str
    settings: PromptSettings
    sections: tuple[Section, ...]

    def render(self, values: Mapping[str, Any]) -> tuple[Message, ...]:
        """The messages with `values` filled in. Raises `ConfigError` with the line that cannot be rendered."""
        return tuple(
            Message(role=section.role, content=_render(section.template, values, self.file))
            for section in self.sections
        )


def load_prompt(path: Path, variables: Sequence[str]) -> Prompt:
    """Reads a prompt file that may use `variables`. Raises `ConfigError` naming file and line."""
    try:
        source = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"the prompt {path} cannot be read: {error.strerror}.",
            hint="Check that the file exists and is readable.",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"the prompt {path} is not UTF-8 text.", hint="Save it as UTF-8.") from error
    return parse_prompt(source, path.stem, str(path), variables)


def parse_prompt(source: str, name: str, file: str, variables: Sequence[str]) -> Prompt:
    """The prompt in `source`; `file` is what errors call it."""
    source = source.removeprefix("\ufeff").replace("\r\n", "\n")
    front = FRONT_MATTER.match(source)
    settings = _front_matter(front.group(1) or "", file) if front else PromptSettings()
    body = front.end() if front else 0
    heads = list(SECTION.finditer(source, body))
    preface = source[body : heads[0].start()] if heads else source[body:]
    if preface.strip() or not heads:
        line = source.count("\n", 0, body + len(preface) - len(preface.lstrip())) + 1
        raise _error(
            file,
            line,
            "this text belongs to no message",
            "Put a heading above it: # system, # user or # assistant.",
        )
    environment = _environment()
    ends = [head.start() for head in heads[1:]] + [len(source)]
    sections = tuple(
        Section(
            head.group(1).lower(),
            _compile(environment, _padded(source, head.end(), end), file, variables),
        )
        for head, end in zip(heads, ends, strict=True)
    )
    return Prompt(name, file, content_id("prompt", source), settings, sections)


def _environment() -> ImmutableSandboxedEnvironment:
    """Text, not markup, so nothing is escaped; no loader, so a template cannot read files."""
    return ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
    )


def _padded(source: str, start: int, end: int) -> str:
    """A section under as many empty lines as stand above it, so that its line numbers are the file's."""
    return "\n" * source.count("\n", 0, start) + source[start:end].rstrip()


def _compile(
    environment: ImmutableSandboxedEnvironment, source: str, file: str, variables: Sequence[str]
) -> jinja2.Template:
    try:
        tree = environment.parse(source, filename=file)
        _check_names(tree, file, variables)
        code = environment.compile(source, filename=file)
    except jinja2.TemplateSyntaxError as error:
        raise _error(file, error.lineno, error.message or "it cannot be read", "Correct the template.") from error
    return jinja2.Template.from_code(environment, code, environment.make_globals({}))


def _check_names(tree: nodes.Template, file: str, variables: Sequence[str]) -> None:
    for statement in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
        raise _error(
            file, statement.lineno, "a prompt cannot include other files", "Write the text into this file."
        )
    unknown = meta.find_undeclared_variables(tree) - set(variables) - GLOBALS
    for name in tree.find_all(nodes.Name):
        if name.name in unknown:
            nearest = difflib.get_close_matches(name.name, variables, n=1)
            meant = f"Did you mean {nearest[0]!r}? " if nearest else ""
            hint = f"{meant}Its variables: {', '.join(sorted(variables))}."
            raise _error(file, name.lineno, f"{name.name!r} is not a variable of this prompt", hint)


def _render(template: jinja2.Template, values: Mapping[str, Any], file: str) -> str:
    try:
        return template.render(values).strip()
    except Exception as error:  # a template may divide by zero as well as name what is not there
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        line = frames[-1].lineno or 1 if frames else 1
        raise _error(file, line, f"it cannot be rendered: {error}", "Correct the template.") from error


def _front_matter(text: str, file: str) -> PromptSettings:
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 2 if mark else 2
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise _error(file, line, f"the front matter is not YAML: {problem}", "Correct it.") from error
    if values is None:
        return PromptSettings()
    if not isinstance(values, dict):
        raise _error(
            file, 2, "the front matter is not a list of settings", "Write lines such as 'temperature: 0.2'."
        )
    known = PromptSettings.__struct_fields__
    for key in values:
        if key not in known:
            nearest = difflib.get_close_matches(str(key), known, n=1)
            meant = f"Did you mean {nearest[0]!r}? " if nearest else ""
            hint = f"{meant}Known settings: {', '.join(known)}."
            raise _error(file, _line_of(text, str(key)), f"unknown setting {str(key)!r}", hint)
    try:
        return msgspec.convert(values, PromptSettings)
    except msgspec.ValidationError as error:
        at = re.search(r"\$\.(\w+)", str(error))
        line = _line_of(text, at.group(1)) if at else 2
        raise _error(file, line, str(error), "Correct its value.") from error


def _line_of(front_matter: str, key: str) -> int:
    """The line of the file where a setting of the front matter stands; the first line is `---`."""
    for number, line in enumerate(front_matter.splitlines(), start=2):
        if line.lstrip("'\" ").startswith(key):
            return number
    return 2


def _error(file: str, line: int, problem: str, hint: str) -> ConfigError:
    return ConfigError(f"{file}, line {line}: {problem}.", hint=hint)
