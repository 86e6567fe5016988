"""Which files can be read, and by which loader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from typing import Literal

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
