"""The list of all settings, read off their types: for suggestions, `penstock config keys` and the docs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any, Literal, get_args, get_origin

from msgspec import Struct
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from penstock.config.features import Asker, Value
from penstock.config.secret import Secret
from penstock.config.settings import Settings
from penstock.config.sources import MetadataValue

ANY_NAME = "NAME"
TYPE_WORDS: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    date: "date",
    Secret: '{ env = "NAME" }',
    tuple[str, ...]: "list of text",
    dict[str, Secret | str]: "table of text",
    dict[str, Asker]: 'table of `"user"`, `"project"` or `"key"`',
    dict[str, Value]: "text, number, true or false, or a table of these",
    dict[str, MetadataValue]: "table of texts, numbers, true or false, and lists of text",
}


class Setting(Struct, frozen=True):
    """One line of the reference. `default` is TOML, or "" where there is no fixed one."""

    key: str
    type: str
    default: str
    description: str


class Section(Struct, frozen=True):
    """One table of the file; `header` is as written, with NAME for any name. `is_list` for `[[header]]`."""

    header: str
    about: str
    settings: tuple[Setting, ...]
    is_list: bool = False


def sections() -> Iterator[Section]:
    """Every table of `penstock.toml` in the order of the file."""
    for name, field in Settings.model_fields.items():
        yield from _tables(name, field.annotation)


def _tables(name: str, annotation: Any) -> Iterator[Section]:
    """The table that a setting holds, and the tables inside it."""
    table, named = table_of(annotation)
    if table is None:
        return
    header = f"{name}.{ANY_NAME}" if named else name
    inner = table.model_fields.items()
    settings = tuple(_setting(header, key, each) for key, each in inner if table_of(each.annotation)[0] is None)
    yield Section(header, " ".join((table.__doc__ or "").split()), settings, is_list=is_list(annotation))
    for key, each in inner:
        yield from _tables(f"{header}.{key}", each.annotation)


def table_of(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The table that a setting holds, `None` for a plain value, and whether it holds one for each name.

    An optional table counts as the table, and a list of tables as its element.
    """
    if get_origin(annotation) is dict:
        return table_of(get_args(annotation)[1])[0], True
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind, False
    return None, False


def is_list(annotation: Any) -> bool:
    return get_origin(annotation) is tuple or any(get_origin(each) is tuple for each in get_args(annotation))


def _setting(header: str, key: str, field: FieldInfo) -> Setting:
    return Setting(f"{header}.{key}", _type_words(field.annotation), _default(field), field.description or "")


def _type_words(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{toml(choice)}`" for choice in get_args(annotation))
    if get_origin(annotation) is tuple and get_origin(get_args(annotation)[0]) is Literal:
        return f"list of {_type_words(get_args(annotation)[0])}"
    choices = [kind for kind in get_args(annotation) if get_origin(kind) is Literal]
    if choices:
        return _type_words(choices[0])
    known = [kind for kind in get_args(annotation) if kind in TYPE_WORDS]
    return TYPE_WORDS[known[0] if annotation not in TYPE_WORDS and known else annotation]


def _default(field: FieldInfo) -> str:
    return "" if field.default in (PydanticUndefined, None) else toml(field.default)


def toml(value: object) -> str:
    """A setting's value as TOML. A text that JSON can write is a TOML string too."""
    import json

    if isinstance(value, Secret):
        return f"{{ env = {toml(value.env)} }}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(toml(item) for item in value)}]"
    return json.dumps(value, ensure_ascii=False)
