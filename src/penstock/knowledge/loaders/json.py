"""JSON as text: records become sections, values stand under their names, numbers as they were written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from penstock.knowledge.loaders.base import LoadedDocument, TextBuilder, Unloadable
from penstock.knowledge.loaders.places import Place
from penstock.knowledge.loaders.text import decode

TITLES = ("title", "name", "label", "subject", "question", "heading", "headline")
"""Fields that say what a record is about, the most telling first."""
LONGEST_TITLE = 200
LONG = 200
"""Characters; a longer value is a paragraph of its own."""
DEEPEST_HEADING = 6
SHOWN_LINES = 10

Path = tuple[str, ...]


class Item(Struct, frozen=True):
    """A value still to be written: its name from the nearest heading on, and the level of that heading.

    `opens`: it stands apart from what is before it; `label` says where in the file it is, if that is told.
    """

    path: Path
    value: Any
    level: int
    opens: bool = False
    label: str = ""


def load_json(data: bytes) -> LoadedDocument:
    """Raises `Unloadable` for what is not JSON."""
    source, reason = decode(data)
    try:
        value = parse(source)
    except json.JSONDecodeError as error:
        raise Unloadable(
            "corrupt",
            f"It is not JSON from line {error.lineno}, column {error.colno} on ({error.msg}). Correct it, or get it"
            " again.",
        ) from None
    except RecursionError:
        raise too_deep() from None
    builder = Writer()
    builder.write(value)
    return builder.document(reason)


def load_jsonl(data: bytes) -> LoadedDocument:
    """A value a line; lines that are none are left out and named. Raises `Unloadable` where no line is one."""
    source, reason = decode(data)
    writer = Writer()
    wrong: list[int] = []
    number = 0
    for number, line in enumerate(source.split("\n"), 1):
        if not line.strip():
            continue
        try:
            writer.record(parse(line), f"line {number}")
        except (json.JSONDecodeError, RecursionError):
            wrong.append(number)
    if wrong and not writer.written:
        raise Unloadable("corrupt", "None of its lines is JSON. Write one value on each line.")
    if wrong:
        shown = ", ".join(map(str, wrong[:SHOWN_LINES])) + (" …" if len(wrong) > SHOWN_LINES else "")
        what = "Line {} is not JSON and was" if len(wrong) == 1 else "Lines {} are not JSON and were"
        reason = f"{what.format(shown)} left out. {reason}".strip()
    return writer.document(reason)


def parse(source: str) -> Any:
    """The value, its numbers as the text that they were written as."""
    return json.loads(source, parse_int=str, parse_float=str, parse_constant=str)


def too_deep() -> Unloadable:
    return Unloadable("corrupt", "Its values are nested too deep to be read. Save it with less nesting.")


class Writer:
    """Puts values down in the order in which they stand, without recursion."""

    def __init__(self) -> None:
        self._builder = TextBuilder()
        self._places: list[Place] = []
        self._lines: list[str] = []
        self.written = 0

    def write(self, value: Any) -> None:
        """A whole file: the records of a list, or what an object holds."""
        if isinstance(value, list):
            for number, item in enumerate(value, 1):
                self.record(item, f"record {number}")
        else:
            self._run(Item((), value, 0))

    def record(self, value: Any, label: str) -> None:
        """One record, under its title if it has one."""
        self.written += 1
        self._run(Item((), value, 0, True, label))

    def document(self, reason: str) -> LoadedDocument:
        return LoadedDocument(
            text=self._builder.text(),
            title=self._builder.title() if self.written < 2 else "",
            blocks=tuple(self._builder.blocks),
            places=tuple(self._places),
            status="partial" if reason else "ok",
            reason=reason,
        )

    def _run(self, first: Item) -> None:
        stack = [first]
        while stack:
            item = stack.pop()
            if item.opens:
                self._flush()
            if item.label:
                self._places.append(Place(self._builder.length, item.label))
            if isinstance(item.value, dict):
                stack.extend(reversed(list(self._fields(item))))
            elif isinstance(item.value, list):
                stack.extend(reversed(list(self._members(item))))
            else:
                self._scalar(item)
        self._flush()

    def _fields(self, item: Item) -> Iterator[Item]:
        """What an object holds; one that has a title is a section under it."""
        field = title_field(item.value)
        if not field or item.level == DEEPEST_HEADING:
            for name, value in item.value.items():
                yield Item((*item.path, words(name)), value, item.level)
            return
        self._flush()
        self._builder.add("heading", ": ".join([*item.path, words(item.value[field])]), item.level + 1)
        for name, value in item.value.items():
            if name != field:
                yield Item((words(name),), value, item.level + 1)

    def _members(self, item: Item) -> Iterator[Item]:
        """What a list holds: scalars on one line, records apart."""
        if all(not isinstance(member, (dict, list)) for member in item.value):
            yield Item(item.path, ", ".join(shown(member) for member in item.value), item.level)
            return
        named = bool(item.path) and item.level < DEEPEST_HEADING
        name = ".".join(item.path)
        if named:
            self._flush()
            self._builder.add("heading", name, item.level + 1)
        for number, member in enumerate(item.value, 1):
            path = () if named else (*item.path, str(number))
            label = f"{name}, record {number}" if named and item.level == 0 and not self.written else ""
            yield Item(path, member, item.level + int(named), True, label)

    def _scalar(self, item: Item) -> None:
        text = shown(item.value)
        if not text:
            return
        name = ".".join(item.path)
        line = f"{name}: {text}" if name else text
        if len(text) > LONG or "\n" in text:
            self._flush()
            for paragraph in re.split(r"\n[^\S\n]*\n", line):
                self._builder.add("paragraph", paragraph)
        else:
            self._lines.append(line)

    def _flush(self) -> None:
        self._builder.add("table", "\n".join(self._lines))
        self._lines.clear()


def title_field(record: dict[str, Any]) -> str:
    """Which field says in a short text what a record is about; "" for none."""
    for name in TITLES:
        value = record.get(name)
        if isinstance(value, str) and 0 < len(value.strip()) <= LONGEST_TITLE:
            return name
    return ""


def words(name: str) -> str:
    return " ".join(name.split())


def shown(value: Any) -> str:
    """A scalar as people write it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value).strip()
