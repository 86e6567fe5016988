"""Markdown as a reader sees it: emphasis, links and fences taken off, structure kept as blocks."""

from __future__ import annotations

import re

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from penstock.knowledge.filters import Value
from penstock.knowledge.loaders.base import LoadedDocument, TextBuilder, Unloadable
from penstock.knowledge.loaders.properties import flat
from penstock.knowledge.loaders.text import decode

FRONT_MATTER = re.compile(r"\A---[^\S\n]*\n(.*?\n)(?:---|\.\.\.)[^\S\n]*(?:\n|\Z)", re.DOTALL)
DEEPEST = 100
"""Levels of lists and quotations; the parser leaves out what is deeper."""
NESTING = ("blockquote_open", "list_item_open")
TAG = re.compile(r"<!--.*?-->|</?[a-zA-Z][^<>]*>", re.DOTALL)


def load_markdown(data: bytes) -> LoadedDocument:
    """CommonMark with tables and strikethrough; a title in the front matter wins over the first heading.

    Raises `Unloadable` where all of it is nested too deep.
    """
    source, reason = decode(data)
    metadata: dict[str, Value] = {}
    if match := FRONT_MATTER.match(source):
        metadata = front_matter(match.group(1))
        source = source[match.end() :]
    parser = MarkdownIt("commonmark", {"maxNesting": DEEPEST}).enable(["table", "strikethrough"])
    builder = TextBuilder()
    tokens = parser.parse(source)
    Walk(builder).run(tokens)
    if any(token.level >= DEEPEST - 1 and token.type in NESTING for token in tokens):
        reason = f"What is nested more than {DEEPEST} levels deep was left out. {reason}".strip()
        if not builder.text():
            raise Unloadable("no_text", reason)
    return LoadedDocument(
        text=builder.text(),
        title=str(metadata.pop("title", "")) or builder.title(),
        blocks=tuple(builder.blocks),
        metadata=metadata,
        status="partial" if reason else "ok",
        reason=reason,
    )


def front_matter(front: str) -> dict[str, Value]:
    """What the front matter says, flat; nothing where it is no mapping."""
    try:
        values = yaml.safe_load(front)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return flat(values) if isinstance(values, dict) else {}


class Walk:
    """Turns the parser's flat list of tokens into blocks."""

    def __init__(self, builder: TextBuilder) -> None:
        self._builder = builder
        self._lists: list[int | None] = []
        self._marker = ""
        self._tight = False
        self._row: list[str] = []
        self._rows: list[str] = []
        self._heading = 0
        self._in_table = False

    def run(self, tokens: list[Token]) -> None:
        for token in tokens:
            match token.type:
                case "heading_open":
                    self._heading = int(token.tag[1])
                case "heading_close":
                    self._heading = 0
                case "fence" | "code_block":
                    self._builder.add("code", token.content)
                case "html_block":
                    self._text(TAG.sub("", token.content))
                case "inline":
                    self._inline(token)
                case _ if token.type.startswith(("table", "tr_", "t")):
                    self._table(token)
                case _:
                    self._list(token)

    def _inline(self, token: Token) -> None:
        text = inline_text(token.children or [])
        if self._in_table:
            self._row.append(" ".join(text.split()))
        else:
            self._text(text)

    def _text(self, text: str) -> None:
        if self._heading:
            self._builder.add("heading", " ".join(text.split()), self._heading)
            return
        if not text.strip():
            return
        self._builder.add("paragraph", self._marker + text.strip(), tight=self._tight)
        # Further paragraphs of an item stand under its first, without a second marker.
        self._marker = ""
        self._tight = bool(self._lists)

    def _list(self, token: Token) -> None:
        if token.type in ("bullet_list_open", "ordered_list_open"):
            ordered = token.type.startswith("ordered")
            self._tight = bool(self._lists)
            self._lists.append(int(token.attrGet("start") or 1) if ordered else None)
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            self._lists.pop()
            self._marker = ""
            self._tight = bool(self._lists)
        elif token.type == "list_item_open":
            number = self._lists[-1]
            self._marker = "- " if number is None else f"{number}. "
            if number is not None:
                self._lists[-1] = number + 1
        elif token.type == "list_item_close":
            self._tight = True

    def _table(self, token: Token) -> None:
        match token.type:
            case "table_open":
                self._in_table, self._rows = True, []
            case "tr_open":
                self._row = []
            case "tr_close":
                self._rows.append(" | ".join(self._row))
            case "table_close":
                self._in_table = False
                self._builder.add("table", "\n".join(self._rows))


def inline_text(tokens: list[Token]) -> str:
    """The words of a run of inline tokens; an image says its description."""
    parts: list[str] = []
    for token in tokens:
        match token.type:
            case "text" | "code_inline":
                parts.append(token.content)
            case "softbreak":
                parts.append(" ")
            case "hardbreak":
                parts.append("\n")
            case "image":
                parts.append(inline_text(token.children or []))
            case "html_inline":
                parts.append("\n" if token.content.lower().startswith("<br") else "")
    return "".join(parts)
