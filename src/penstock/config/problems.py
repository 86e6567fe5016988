"""What is wrong with a configuration, in words that name the file, the line, the key and what was meant."""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Mapping, Sequence

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from penstock.config.positions import KeyPath
from penstock.config.reference import sections
from penstock.config.settings import Settings
from penstock.errors import ConfigError

KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "true or false"),
    (str, "text in quotes"),
    (int, "a whole number"),
    (float, "a number"),
    ((list, tuple), "a list"),
    (dict, "a table"),
    ((datetime.date, datetime.time), "a date or time"),
)
WANTED = {
    "string_type": "text in quotes",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "tuple_type": "a list, such as ['docs/**/*']",
    "dict_type": "a table of named tables, such as [models.default] or [knowledge.docs]",
}
LIMITS = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}


class Origin:
    """The file that settings came from, and the lines of its keys; `overrides` did not come from it."""

    def __init__(self, file: str, lines: Mapping[KeyPath, int], overrides: Sequence[KeyPath] = ()) -> None:
        self._file = file
        self._lines = lines
        self._overrides = overrides

    def where(self, path: KeyPath) -> str:
        """`penstock.toml:7: models.default.use`, with as much of it as is known."""
        key = dotted(path)
        if not self._file or any(path[: len(prefix)] == prefix for prefix in self._overrides):
            return key
        line = self.line(path)
        return f"{self._file}:{line}: {key}" if line else f"{self._file}: {key}"

    def line(self, path: KeyPath) -> int:
        """The line of a key, or of the nearest table around it; 0 where the file has neither."""
        for length in range(len(path), 0, -1):
            if line := self._lines.get(path[:length]):
                return line
        return 0


def dotted(path: KeyPath) -> str:
    """`("knowledge", "docs", "sources", 0)` as it is written: `knowledge.docs.sources[0]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            bare = part and all(char.isalnum() or char in "-_" for char in part)
            text += ("." if text else "") + (part if bare else f'"{part}"')
    return text


def explain(error: ValidationError, origin: Origin) -> ConfigError:
    """All that pydantic found, as one error, in the order of the file."""
    details = error.errors(include_url=False)
    paths = [_path(detail) for detail in details]
    lines = []
    for detail, path in zip(details, paths, strict=True):
        inside = any(other != path and other[: len(path)] == path for other in paths)
        if detail["type"] == "too_short" and inside:
            continue  # it is only short of the element that is reported on its own
        lines.append((origin.line(path), f"{origin.where(path)}{_complaint(detail, path)}"))
    problems = [text for _, text in sorted(lines, key=lambda line: line[0])]
    if len(problems) == 1:
        message = problems[0]
    else:
        message = f"{len(problems)} settings are wrong:\n" + "\n".join(f"  {problem}" for problem in problems)
    return ConfigError(message, hint="`penstock config keys` lists every setting.")


def _path(detail: ErrorDetails) -> KeyPath:
    inner = detail.get("ctx", {}).get("path", ())
    return tuple(part for part in (*detail["loc"], *inner) if part != "[key]")


def _complaint(detail: ErrorDetails, path: KeyPath) -> str:
    """What comes after the key, to the end of the sentence."""
    given, kind = detail["input"], detail["type"]
    context = detail.get("ctx", {})
    if kind == "extra_forbidden":
        return f" is not a setting{_nearest_setting(path)}"
    if kind == "missing":
        return " is missing."
    if kind == "value_error":
        return f" {context['error']}."
    if kind == "conflict":
        return f" {detail['msg']}."
    if kind == "model_type":
        return f" must be a table, such as [{dotted(path)}], not {_shown(given)}."
    if kind in WANTED:
        return f" must be {WANTED[kind]}, not {_shown(given)}."
    if kind == "literal_error":
        choices = [choice.strip("'") for choice in context["expected"].replace(" or ", ", ").split(", ")]
        return f" must be one of {', '.join(choices)}, not {_shown(given)}{_did_you_mean(given, choices)}"
    if kind in LIMITS:
        words, key = LIMITS[kind]
        return f" must be {words} {context[key]:g}, not {_shown(given)}."
    if kind in ("string_too_short", "too_short"):
        return " must not be empty."
    return f": {detail['msg']}, not {_shown(given)}."


def _shown(value: object) -> str:
    """A wrong value and its kind; tables and lists are not repeated, as they may be long or hold a secret."""
    kind = next((words for types_, words in KINDS if isinstance(value, types_)), "this")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else f"{value[:57]}…")
    if isinstance(value, int | float):
        return str(value)
    return kind


def _did_you_mean(given: object, choices: Sequence[str]) -> str:
    near = difflib.get_close_matches(str(given), choices, 1)
    return f"; did you mean {near[0]!r}?" if near else "."


def _nearest_setting(path: KeyPath) -> str:
    """The setting that was probably meant: one of the same table, else one of that name in another."""
    name = str(path[-1]).lower().replace("-", "_")
    if len(path) == 1:
        return _did_you_mean(name, list(Settings.model_fields))
    here = [section for section in sections() if section.header.split(".")[0] == path[0]]
    near = _did_you_mean(name, [_last(setting.key) for section in here for setting in section.settings])
    if near != ".":
        return near
    elsewhere = [
        setting.key for section in sections() for setting in section.settings if _last(setting.key) == name
    ]
    return f"; did you mean {elsewhere[0]!r}?" if elsewhere else "."


def _last(key: str) -> str:
    return key.rpartition(".")[2]
