"""Which files can be read, by which loader, and which version of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib import import_module
from pathlib import PurePath
from typing import Literal

from msgspec import Struct

from penstock.knowledge.loaders import ocr
from penstock.knowledge.loaders.base import LoadedDocument, ReadRules

Kind = Literal[
    "text",
    "markdown",
    "rst",
    "html",
    "pdf",
    "docx",
    "pptx",
    "xlsx",
    "csv",
    "json",
    "jsonl",
    "eml",
    "epub",
    "code",
]
Loader = Callable[[bytes], LoadedDocument]

CODE = tuple(
    f".{name}"
    for line in (
        "py pyi js mjs cjs jsx ts tsx java kt kts scala groovy go rs c h cc cpp cxx hh hpp cs swift m mm dart zig",
        "rb php pl pm lua r jl sql sh bash zsh fish ps1 ex exs erl hrl hs ml mli clj cljs fs vb f90 asm tf proto",
        "graphql css scss vue svelte",
    )
    for name in line.split()
)
"""Suffixes of source code."""

SUFFIXES: dict[str, Kind] = {
    ".txt": "text",
    ".text": "text",
    ".log": "text",
    ".adoc": "text",
    ".asciidoc": "text",
    ".org": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".mdown": "markdown",
    ".mkd": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".docx": "docx",
    ".rst": "rst",
    ".rest": "rst",
    ".pptx": "pptx",
    ".xlsx": "xlsx",
    ".eml": "eml",
    ".epub": "epub",
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    **dict.fromkeys(CODE, "code"),
}
PLAIN_NAMES = frozenset(
    ("readme", "license", "licence", "changelog", "changes", "news", "authors", "notice", "todo")
)
READABLE = (
    "text (.txt), Markdown (.md), reStructuredText (.rst), HTML, PDF, Word (.docx), PowerPoint (.pptx),"
    " Excel (.xlsx), CSV, JSON, mail (.eml), EPUB, source code"
)
"""What can be read, in words."""


class Parser(Struct, frozen=True):
    """What reads a kind: the version of Penstock's own part, the library that it stands on, and the module
    that it is in where that is not called like the kind.

    Raise `version` when a loader makes something else of a file: files of that kind are read again then.
    """

    version: int
    library: str = ""
    module: str = ""


PARSERS: dict[Kind, Parser] = {
    "text": Parser(2),
    "markdown": Parser(2, "markdown-it-py"),
    "html": Parser(2, "selectolax"),
    "pdf": Parser(4, "pypdfium2"),
    "docx": Parser(3, "python-docx"),
    "rst": Parser(1),
    "pptx": Parser(1, "python-pptx"),
    "xlsx": Parser(1, "openpyxl"),
    "csv": Parser(2),
    "json": Parser(1),
    "jsonl": Parser(1, module="json"),
    "eml": Parser(2),
    "epub": Parser(1, "selectolax"),
    "code": Parser(1),
}
PIECEWISE = frozenset[Kind](("pdf", "eml"))
"""Kinds whose loaders work piece by piece, by rules."""


def parser_of(kind: Kind, languages: Sequence[str] = ()) -> str:
    """What reads a kind on this machine, and in which version: `pdf/4 pypdfium2 5.15.2 tesseract`. Of the
    `languages` that are wanted of Tesseract it names those that are installed.

    It is recorded with each document and part of its recipe: when it changes, files of the kind are read again.
    """
    parser = PARSERS[kind]
    name = f"{kind}/{parser.version}"
    if parser.library:
        name += f" {parser.library} {_version(parser.library)}"
    if kind != "pdf" or not ocr.installed():
        return name
    known = [each for each in languages if each in ocr.installed_languages()]
    return " ".join((name, ocr.PROGRAM, *known))


@cache
def _version(library: str) -> str:
    from importlib import metadata  # takes a fifth of the time in which the process that reads files starts

    return metadata.version(library)


def kind_of(name: str) -> Kind | None:
    """The kind of a file by its name; `None` for one that cannot be read."""
    path = PurePath(name)
    suffix = path.suffix.lower()
    if not suffix and path.name.lower() in PLAIN_NAMES:
        return "text"
    return SUFFIXES.get(suffix)


def loader_of(kind: Kind, rules: ReadRules) -> Loader:
    """The loader of a kind, imported when it is first needed: a run of text files never loads the PDF library."""
    module = import_module(f"penstock.knowledge.loaders.{PARSERS[kind].module or kind}")
    load: Callable[..., LoadedDocument] = getattr(module, f"load_{kind}")
    return partial(load, rules=rules) if kind in PIECEWISE else load
