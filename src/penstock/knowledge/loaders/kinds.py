"""Which files can be read, by which loader, and which version of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import PurePath
from typing import Literal

from msgspec import Struct

from penstock.knowledge.loaders.base import LoadedDocument

Kind = Literal["text", "markdown", "html", "pdf", "docx"]
Loader = Callable[[bytes], LoadedDocument]

SUFFIXES: dict[str, Kind] = {
    ".txt": "text",
    ".text": "text",
    ".log": "text",
    ".rst": "text",
    ".adoc": "text",
    ".asciidoc": "text",
    ".org": "text",
    ".csv": "text",
    ".tsv": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".mdown": "markdown",
    ".mkd": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".docx": "docx",
}
PLAIN_NAMES = frozenset(
    ("readme", "license", "licence", "changelog", "changes", "news", "authors", "notice", "todo")
)
READABLE = "text (.txt, .rst, .csv), Markdown (.md), HTML, PDF, Word (.docx)"
"""What can be read, in words."""


class Parser(Struct, frozen=True):
    """What reads a kind: the version of Penstock's own part, and the library that it stands on.

    Raise `version` when a loader makes something else of a file: files of that kind are read again then.
    """

    version: int
    library: str = ""


PARSERS: dict[Kind, Parser] = {
    "text": Parser(2),
    "markdown": Parser(2, "markdown-it-py"),
    "html": Parser(2, "selectolax"),
    "pdf": Parser(2, "pypdfium2"),
    "docx": Parser(2, "python-docx"),
}
OCR = "tesseract"
"""The program that reads pictures of pages, where it is installed."""


def parser_of(kind: Kind) -> str:
    """What reads a kind on this machine, and in which version: `pdf/3 pypdfium2 5.15.2 tesseract`.

    It is recorded with each document and part of its recipe: when it changes, files of the kind are read again.
    """
    parser = PARSERS[kind]
    name = f"{kind}/{parser.version}"
    if parser.library:
        name += f" {parser.library} {_version(parser.library)}"
    return f"{name} {OCR}" if kind == "pdf" and shutil.which(OCR) else name


@cache
def _version(library: str) -> str:
    return metadata.version(library)


def kind_of(name: str) -> Kind | None:
    """The kind of a file by its name; `None` for one that cannot be read."""
    path = PurePath(name)
    suffix = path.suffix.lower()
    if not suffix and path.name.lower() in PLAIN_NAMES:
        return "text"
    return SUFFIXES.get(suffix)


def loader_of(kind: Kind) -> Loader:
    """The loader of a kind, imported when it is first needed: a run of text files never loads the PDF library."""
    match kind:
        case "markdown":
            from penstock.knowledge.loaders.markdown import load_markdown

            return load_markdown
        case "html":
            from penstock.knowledge.loaders.html import load_html

            return load_html
        case "pdf":
            from penstock.knowledge.loaders.pdf import load_pdf

            return load_pdf
        case "docx":
            from penstock.knowledge.loaders.docx import load_docx

            return load_docx
        case "text":
            from penstock.knowledge.loaders.text import load_text

            return load_text
