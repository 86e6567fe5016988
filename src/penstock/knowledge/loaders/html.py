"""HTML as a reader sees it: the page's own content, without navigation, scripts and what is hidden."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set

from selectolax.lexbor import LexborHTMLParser, LexborNode

from penstock.knowledge.filters import Value
from penstock.knowledge.loaders.base import LoadedDocument, TextBuilder
from penstock.knowledge.loaders.properties import flat
from penstock.knowledge.loaders.text import decode

CHARSET = re.compile(rb"""<meta[^>]*charset\s*=\s*["']?\s*([\w:.-]+)""", re.IGNORECASE)
XML_ENCODING = re.compile(rb"""\A\s*<\?xml[^>]*encoding\s*=\s*["']([\w:.-]+)""")
HEAD_BYTES = 4096

SKIPPED = frozenset(
    name
    for line in (
        "script style template noscript svg math canvas iframe object embed audio video map head title",
        "nav footer aside button select input textarea dialog menu datalist",
    )
    for name in line.split()
)
SKIPPED_ROLES = frozenset(("navigation", "banner", "contentinfo", "search", "complementary", "dialog", "alert"))
HEADINGS = {f"h{level}": level for level in range(1, 7)}
BLOCKS = frozenset(
    name
    for line in (
        "address article blockquote body center dd details div dl dt fieldset figcaption figure form header hr",
        "html legend li main ol p section summary ul table tr td th caption",
    )
    for name in line.split()
)
STRUCTURE = frozenset(("br", "pre", "table", "img", *HEADINGS, *BLOCKS))
"""What is more than words in a line."""
DESCRIBED = {
    "author": "author",
    "description": "description",
    "keywords": "keywords",
    "article:published_time": "created",
    "article:modified_time": "modified",
}
"""Entries of a page's head that become metadata, and what they are called there."""
HIDING = "[hidden], [aria-hidden], [role], [style]"
BREAK = "\0"
"""Stands for `<br>` until white space is collapsed; the parser lets no other one through."""
MAIN_SHARE = 0.25
"""A main element with less of the page's text than this is not taken for its content."""


def load_html(data: bytes) -> LoadedDocument:
    """The title is that of the page, the first heading where it has none."""
    builder = TextBuilder()
    tree, reason = add_html(builder, data)
    title = tree.css_first("title")
    return LoadedDocument(
        text=builder.text(),
        title=(collapse(title.text()) if title is not None else "") or builder.title(),
        blocks=tuple(builder.blocks),
        metadata=described(tree),
        status="partial" if reason else "ok",
        reason=reason,
    )


def add_html(builder: TextBuilder, data: bytes) -> tuple[LexborHTMLParser, str]:
    """Appends what a reader sees of a page; returns its tree, and what its encoding lost ("" for nothing)."""
    source, reason = decode(data, declared_encoding(data))
    tree = LexborHTMLParser(source)
    if tree.body is not None:
        Walk(builder, suspects(tree)).run(content_root(tree.body))
    return tree, reason


def described(tree: LexborHTMLParser) -> dict[str, Value]:
    """What a page says of itself in its head."""
    found: dict[str, str] = {}
    if tree.root is not None and (language := tree.root.attributes.get("lang")):
        found["language"] = language
    for node in children(tree.head) if tree.head is not None else ():
        if node.tag != "meta":
            continue
        attributes = node.attributes
        name = (attributes.get("name") or attributes.get("property") or "").lower()
        if name in DESCRIBED and (content := attributes.get("content")):
            found.setdefault(DESCRIBED[name], content)
    return flat(found)


def declared_encoding(data: bytes) -> str | None:
    match = CHARSET.search(data[:HEAD_BYTES]) or XML_ENCODING.search(data[:HEAD_BYTES])
    return match.group(1).decode("ascii", "replace") if match else None


def content_root(body: LexborNode) -> LexborNode:
    """The element that holds the page's content, by its own markup, or the whole body."""
    whole = len(body.text())
    for selector in ("main", "[role=main]", "article"):
        found = body.css(selector)
        if len(found) == 1 and len(found[0].text()) >= MAIN_SHARE * whole:
            return found[0]
    return body


class Walk:
    """Goes through a tree in the order of its text, without recursion: pages nest as deep as they like."""

    def __init__(self, builder: TextBuilder, suspects: Set[int]) -> None:
        self._builder = builder
        self._suspects = suspects
        self._words: list[str] = []
        self._heading = 0
        self._marker = ""
        self._lists: list[int | None] = []

    def run(self, root: LexborNode) -> None:
        entered: list[tuple[LexborNode, str]] = []
        node: LexborNode | None = root
        while node is not None or entered:
            if node is None:
                left, name = entered.pop()
                self._leave(name)
                node = left.next if entered else None
                continue
            tag = node.tag or "-"
            if tag == "-text":
                self._words.append(node.text_content or "")
                node = node.next
            elif self._enter(node, tag):
                entered.append((node, tag))
                node = node.child
            else:
                node = node.next if entered else None
        self._flush()

    def _enter(self, node: LexborNode, tag: str) -> bool:
        """Takes an element in; returns whether what it holds is to be visited."""
        if tag.startswith("-") or tag in SKIPPED:
            return False
        if node.mem_id in self._suspects and hidden(node):
            return False
        if tag not in STRUCTURE:
            return True
        if tag == "br":
            self._words.append(BREAK)
        elif tag == "pre":
            self._flush()
            self._builder.add("code", node.text().strip("\n"))
            return False
        elif tag == "table" and is_data(node):
            self._flush()
            self._builder.add("table", "\n".join(rows(node)))
            return False
        elif tag == "img":
            self._words.append(node.attributes.get("alt") or "")
        elif tag in HEADINGS:
            self._flush()
            self._heading = HEADINGS[tag]
        else:
            self._flush()
            self._list(tag, node)
        return True

    def _leave(self, tag: str) -> None:
        if tag in HEADINGS:
            self._flush()
            self._heading = 0
        elif tag in BLOCKS:
            self._flush()
            if tag in ("ul", "ol") and self._lists:
                self._lists.pop()

    def _list(self, tag: str, node: LexborNode) -> None:
        if tag == "ul":
            self._lists.append(None)
        elif tag == "ol":
            start = node.attributes.get("start") or "1"
            self._lists.append(int(start) if start.isdecimal() else 1)
        elif tag == "li":
            number = self._lists[-1] if self._lists else None
            self._marker = "- " if number is None else f"{number}. "
            if number is not None:
                self._lists[-1] = number + 1

    def _flush(self) -> None:
        if not self._words:
            return
        text = "\n".join(line for part in "".join(self._words).split(BREAK) if (line := collapse(part)))
        self._words.clear()
        if not text:
            return
        if self._heading:
            self._builder.add("heading", text.replace("\n", " "), self._heading)
        else:
            self._builder.add("paragraph", self._marker + text, tight=bool(self._marker) and self._after_item())
        self._marker = ""

    def _after_item(self) -> bool:
        """Whether this list item follows another one, so that they stand on adjacent lines."""
        blocks = self._builder.blocks
        return bool(blocks) and blocks[-1].kind == "paragraph" and len(self._lists) > 0


def children(node: LexborNode) -> Iterator[LexborNode]:
    child = node.child
    while child is not None:
        yield child
        child = child.next


def suspects(tree: LexborHTMLParser) -> set[int]:
    """The elements whose attributes may hide them; to look at those of every element would take as long as all the
    rest."""
    return {node.mem_id for node in tree.css(HIDING)}


def hidden(node: LexborNode) -> bool:
    attributes = node.attributes
    style = (attributes.get("style") or "").replace(" ", "").lower()
    return (
        "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
        or attributes.get("role") in SKIPPED_ROLES
        or "display:none" in style
        or "visibility:hidden" in style
    )


def is_data(table: LexborNode) -> bool:
    """A table of figures, not one that lays out the page: no table, list or block of text inside."""
    return table.css_first("table table, ul, ol, p + p, h1, h2, h3, h4, pre, form") is None


def rows(table: LexborNode) -> Iterator[str]:
    for row in table.css("tr, caption"):
        if row.tag == "caption":
            yield collapse(row.text())
            continue
        cells = [collapse(cell.text()) for cell in children(row) if cell.tag in ("td", "th")]
        if any(cells):
            yield " | ".join(cells)


def collapse(text: str) -> str:
    """Runs of white space as one space."""
    return " ".join(text.split())
