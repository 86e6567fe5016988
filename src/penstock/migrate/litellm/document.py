"""A YAML file that knows which of its lines were read, so that nothing in it is left out silently."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from penstock.errors import ConfigError

Where = tuple[str | int, ...]


class Document:
    """`take` reads a value and everything below it; `unread` is what nobody took."""

    def __init__(self, path: Path) -> None:
        """Raises `ConfigError` for a file that is no YAML table."""
        self.path = path
        self._taken: set[Where] = set()
        self._lines: dict[Where, int] = {}
        try:
            node = yaml.compose(path.read_text("utf-8"), yaml.SafeLoader)
            self._root = self._value(node, ()) if node is not None else {}
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}.", hint="Check the path.") from None
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
            line = getattr(getattr(error, "problem_mark", None), "line", None)
            place = f"{path}:{line + 1}" if line is not None else str(path)
            raise ConfigError(
                f"{place}: not valid YAML: {getattr(error, 'problem', None) or 'it cannot be read'}.",
                hint="Give LiteLLM's config.yaml, or the address of its database.",
            ) from None
        if not isinstance(self._root, dict):
            raise ConfigError(f"{path} holds no table.", hint="Give the config.yaml that `litellm --config` has.")

    def take(self, *where: str | int) -> Any:
        """What stands there; `None` where nothing does."""
        found = self.look(*where)
        if found is not None:
            self._taken.add(where)
        return found

    def look(self, *where: str | int) -> Any:
        """What stands there, without having read it."""
        found = self._root
        for part in where:
            try:
                found = found[part]
            except (KeyError, IndexError, TypeError):
                return None
        return found

    def place(self, *where: str | int) -> str:
        """For people: `config.yaml:12 router_settings.num_retries`."""
        line = next((self._lines[where[:end]] for end in range(len(where), 0, -1) if where[:end] in self._lines), 1)
        return f"{self.path.name}:{line} {'.'.join(map(str, where))}"

    def unread(self, *where: str | int) -> Iterator[Where]:
        """The paths that nobody took: whole tables where nothing in them was."""
        value = self.look(*where)
        if where in self._taken or value is None:
            return
        begun = not where or any(taken[: len(where)] == where for taken in self._taken)
        inner = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        if not begun or not inner:
            if where:
                yield where
            return
        for part in inner:
            yield from self.unread(*where, part)

    def _value(self, node: yaml.Node, where: Where) -> Any:
        self._lines.setdefault(where, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            made = {}
            for key, value in node.value:
                name = str(key.value)
                self._lines[(*where, name)] = key.start_mark.line + 1
                made[name] = self._value(value, (*where, name))
            return made
        if isinstance(node, yaml.SequenceNode):
            return [self._value(each, (*where, number)) for number, each in enumerate(node.value)]
        constructor = yaml.SafeLoader("")
        try:
            return constructor.construct_object(node)
        finally:
            constructor.dispose()
