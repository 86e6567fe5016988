"""Settings put into `penstock.toml` as a person would, everything else left as it is: comments, order, spacing."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping

import msgspec

Setting = str | int | float | bool
HEADER = re.compile(r"^\s*\[")


def with_settings(text: str, table: str, settings: Mapping[str, Setting], stale: tuple[str, ...] = ()) -> str:
    """The file's text with these settings in `[table]`, which is added at the end where there is none.

    A setting that stands there is replaced in its line, with the comment behind it; others are added below the
    table's last one. Those named in `stale` are taken out.
    """
    lines = text.split("\n")
    header = header_of(table)
    first = next((at for at, line in enumerate(lines) if header.match(line)), None)
    if first is None:
        added = "\n".join(line_of(name, value) for name, value in settings.items())
        return f"{text.rstrip()}\n\n[{table}]\n{added}\n".lstrip("\n")
    end = next((at for at in range(first + 1, len(lines)) if HEADER.match(lines[at])), len(lines))
    body: list[str] = []
    left = dict(settings)
    for line in lines[first + 1 : end]:
        name = key_of(line)
        if name in left:
            body.append(line_of(name, left.pop(name)) + comment_of(line))
        elif name not in stale:
            body.append(line)
    last = max((at for at, line in enumerate(body, start=1) if not is_between(line)), default=0)
    body[last:last] = [line_of(name, value) for name, value in left.items()]
    return "\n".join([*lines[: first + 1], *body, *lines[end:]])


def header_of(table: str) -> re.Pattern[str]:
    name = r"\s*\.\s*".join(re.escape(part) for part in table.split("."))
    return re.compile(rf"^\s*\[\s*{name}\s*\]\s*(#.*)?$")


def key_of(line: str) -> str:
    """The name that a line gives a value to, "" for another kind of line."""
    match = re.match(r"\s*([A-Za-z0-9_-]+)\s*=", line)
    return match.group(1) if match else ""


def is_between(line: str) -> bool:
    """Whether a line is empty or a comment, which may be about the next table."""
    return line.strip()[:1] in ("", "#")


def comment_of(line: str) -> str:
    """What stands behind the value in a line, with the space before it."""
    for match in re.finditer(r"\s+#", line):
        try:
            tomllib.loads(line[: match.start()])
        except tomllib.TOMLDecodeError:
            continue  # the sign is within a text
        return line[match.start() :]
    return ""


def line_of(name: str, value: Setting) -> str:
    text = msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")  # which JSON allows, and TOML does not
    return f"{name} = {text}"
