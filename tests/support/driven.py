"""Which routes of the server a test reached with an official client, seen at the client's own transport.

A test says it by `@pytest.mark.drives("POST /v1/chat/completions")`; it fails where that is not so.
"""

import ast
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

TRANSPORTS = (
    openai.DefaultHttpxClient,
    openai.DefaultAsyncHttpxClient,
    anthropic.DefaultHttpxClient,
    anthropic.DefaultAsyncHttpxClient,
)
OFFICIAL = re.compile(r"(Async)?(OpenAI|Anthropic)/Python")


@contextmanager
def official_requests() -> Iterator[list[str]]:
    """The requests of the official clients while the block runs, such as "GET /v1/models"."""
    made: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for sends in {transport.__mro__[1] for transport in TRANSPORTS}:
            patch.setattr(sends, "send", noting(sends.send, made))
        yield made


def noting(send: Callable[..., Any], made: list[str]) -> Callable[..., Any]:
    def noted(client: Any, request: Any, **options: Any) -> Any:
        if OFFICIAL.match(request.headers.get("user-agent", "")):
            made.append(f"{request.method} {request.url.raw_path.decode().partition('?')[0]}")
        return send(client, request, **options)

    return noted


def undriven(routes: list[str], made: list[str]) -> list[str]:
    """The routes that none of the requests is for."""
    return [route for route in routes if not any(pattern_of(route).fullmatch(each) for each in made)]


def pattern_of(route: str) -> re.Pattern[str]:
    """A route with parts such as `{file_id}` as a pattern."""
    pieces = re.split(r"\{[^}]*\}", route)
    return re.compile("[^/]+".join(map(re.escape, pieces)))


def declared(folder: Path) -> dict[str, str]:
    """The routes that tests in a folder say they drive, each with the name of such a test."""
    found: dict[str, str] = {}
    for file in sorted(folder.rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                for route in marks(node):
                    found.setdefault(route, f"{file.name}::{node.name}")
    return found


def marks(test: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    for each in test.decorator_list:
        if isinstance(each, ast.Call) and ast.unparse(each.func) == "pytest.mark.drives":
            yield from (ast.literal_eval(route) for route in each.args)
