"""reStructuredText as a reader sees it, Sphinx's directives included.

Read by its structure (sections, directives, literal blocks, tables), not by docutils, which knows only its own
directives and puts an error in the place of everybody else's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from penstock.knowledge.loaders.base import LoadedDocument, TextBuilder
from penstock.knowledge.loaders.text import decode

ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1{2,}\s*")
DIRECTIVE = re.compile(r"\.\. +(?:\|[^|]+\| +)?(?P<name>[\w:+.-]+?):: *(?P<rest>.*)")
OPTION = re.compile(r":[\w -]+:(?:\s|$)")
FIELD = re.compile(r":(?P<name>[^:\n]+): *(?P<rest>.*)")
ITEM = re.compile(r"(?P<mark>[-*+•]|(?:\d{1,3}|#|[a-zA-Z])[.)]|\((?:\d{1,3}|[a-zA-Z])\))(?P<gap>\s+)\S")
GRID = re.compile(r"\+(?:[-=]+\+)+")
SIMPLE = re.compile(r"=+(?: +=+)+")
CODE = frozenset(
    ("code", "code-block", "sourcecode", "parsed-literal", "literalinclude", "doctest", "testcode", "math")
)
ADMONITIONS = frozenset(
    ("note", "warning", "tip", "important", "caution", "danger", "hint", "attention", "error", "seealso", "topic")
)
SINCE = {
    "versionadded": "Added in version",
    "versionchanged": "Changed in version",
    "versionremoved": "Removed in version",
    "deprecated": "Deprecated since version",
}
DROPPED = frozenset(
    name
    for line in (
        "toctree index raw include highlight contents sectionauthor moduleauthor currentmodule module meta image",
        "default-domain testsetup testcleanup role tabularcolumns target-notes class container-class",
    )
    for name in line.split()
)
ROLE = re.compile(r":(?:[\w+.-]+:)?[\w+.-]+:`(?P<text>[^`]+)`")
LINK = re.compile(
    r"`(?P<text>[^`<]+?)\s*<[^`>]*>`__?|`(?P<name>[^`]+)`__?|(?<![\w`])(?P<word>\w[\w.-]*\w)__?(?=[\s.,;:!?)\]]|$)"
)
TITLE_TARGET = re.compile(r"(?P<title>.*?)\s*<(?P<target>[^<>]*)>", re.DOTALL)
LITERAL = re.compile(r"``(?P<text>.+?)``", re.DOTALL)
EMPHASIS = re.compile(r"(?<![\w*])(\*\*?)(?=\S)(?P<text>[^*]+?)(?<=\S)\1(?![\w*])")
INTERPRETED = re.compile(r"(?<![`\w:])`(?P<text>[^`]+)`(?![`_])")
DEEPEST = 20
"""Levels of indentation that are taken apart; what is deeper is text."""


def load_rst(data: bytes) -> LoadedDocument:
    source, reason = decode(data)
    reading = Reading()
    reading.read(source.expandtabs(8).split("\n"), 0)
    builder = reading.builder
    return LoadedDocument(
        text=builder.text(),
        title=builder.title(),
        blocks=tuple(builder.blocks),
        status="partial" if reason else "ok",
        reason=reason,
    )


class Reading:
    """One text on its way to blocks. Levels of headings are in the order in which their adornments appear."""

    def __init__(self) -> None:
        self.builder = TextBuilder()
        self._styles: list[str] = []

    def read(self, lines: Sequence[str], depth: int) -> None:
        at = 0
        while at < len(lines):
            at = self._block(lines, at, depth)

    def _block(self, lines: Sequence[str], at: int, depth: int) -> int:
        """Takes in the block that begins at a line; returns the line after it."""
        line = lines[at]
        if not line.strip():
            return at + 1
        if (after := self._heading(lines, at)) is not None:
            return after
        if line.startswith(".. ") or line.rstrip() == "..":
            return self._explicit(lines, at, depth)
        if GRID.fullmatch(line.strip()) or SIMPLE.fullmatch(line.strip()):
            return self._table(lines, at)
        if line[0] == " ":
            return self._indented(lines, at, depth)
        if ITEM.match(line):
            return self._items(lines, at, depth)
        return self._paragraph(lines, at, depth)

    def _heading(self, lines: Sequence[str], at: int) -> int | None:
        """A line with an adornment under it, or between two of them."""
        over = ADORNMENT.fullmatch(lines[at])
        title_at = at + 1 if over else at
        if title_at + 1 >= len(lines):
            return None
        title, under = lines[title_at].rstrip(), ADORNMENT.fullmatch(lines[title_at + 1])
        if not under or not title.strip() or (not over and title[0] == " "):
            return None
        if len(under.group().rstrip()) < min(len(title.strip()), 60) or (over and over[1] != under[1]):
            return None
        style = under[1] * (2 if over else 1)
        if style not in self._styles:
            self._styles.append(style)
        self.builder.add("heading", plain(title.strip()), min(self._styles.index(style) + 1, 6))
        return title_at + 2

    def _explicit(self, lines: Sequence[str], at: int, depth: int) -> int:
        """A directive, whose content counts, or a comment, a target, a footnote's label."""
        end = body_end(lines, at + 1, 1)
        match = DIRECTIVE.match(lines[at])
        if match is None:
            note = re.match(r"\.\. \[(?P<label>[^\]]+)\] +(?P<rest>.*)", lines[at])
            if note:
                self.builder.add(
                    "paragraph", plain(" ".join([f"[{note['label']}] {note['rest']}", *lines[at + 1 : end]]))
                )
            return end
        name, body = match["name"].rpartition(":")[2].lower(), dedented(lines[at + 1 : end])
        if name in DROPPED:
            return end
        arguments, content = argument_and_content(match["rest"], body)
        if name in CODE:
            self.builder.add("code", "\n".join(content).strip("\n"))
        elif name in ("csv-table", "list-table", "table", "figure", "rubric"):
            self.builder.add("paragraph", plain(arguments) if name != "figure" else "")
            self._content(content, depth)
        else:
            self._described(name, arguments)
            self._content(content, depth)
        return end

    def _described(self, name: str, arguments: str) -> None:
        """What a directive is about: its first line, under its own name where that says something."""
        if not arguments:
            return
        if name in SINCE:
            version, _, rest = arguments.partition("\n") if "\n" in arguments else arguments.partition(" ")
            self.builder.add("paragraph", plain(f"{SINCE[name]} {version}: {rest}".rstrip(": ")))
        elif name in ADMONITIONS:
            self.builder.add("paragraph", plain(arguments))
        else:
            self.builder.add("paragraph", arguments.replace("\\", ""))

    def _content(self, lines: Sequence[str], depth: int) -> None:
        if depth < DEEPEST:
            self.read(lines, depth + 1)
        else:
            self.builder.add("paragraph", " ".join(line.strip() for line in lines))

    def _table(self, lines: Sequence[str], at: int) -> int:
        grid = lines[at].lstrip().startswith("+")
        end = at + 1
        while end < len(lines) and (lines[end].strip() or (not grid and not closed(lines[at:end]))):
            end += 1
        rows = grid_rows(lines[at:end]) if grid else simple_rows(lines[at:end])
        self.builder.add("table", "\n".join(" | ".join(plain(cell) for cell in row) for row in rows))
        return end

    def _indented(self, lines: Sequence[str], at: int, depth: int) -> int:
        """A quotation, a definition, or what belongs to the line above."""
        end = body_end(lines, at, 1)
        self._content(dedented(lines[at:end]), depth)
        return end

    def _items(self, lines: Sequence[str], at: int, depth: int) -> int:
        """A list, its items on adjacent lines."""
        first = at
        while at < len(lines) and (match := ITEM.match(lines[at])):
            width = match.end("gap")
            end = body_end(lines, at + 1, min(width, 2))
            body = [lines[at][width:], *dedented(lines[at + 1 : end])]
            shown = next((index for index, line in enumerate(body) if not line.strip()), len(body))
            mark = "-" if match["mark"] in "-*+•" else match["mark"]
            text = plain(" ".join(line.strip() for line in body[:shown]))
            self.builder.add("paragraph", f"{mark} {text}", tight=at > first)
            self._content(body[shown:], depth)
            at = end
            while at < len(lines) and not lines[at].strip():
                at += 1
        return at

    def _paragraph(self, lines: Sequence[str], at: int, depth: int) -> int:
        """Lines up to a blank one; two colons at their end say that code follows."""
        end = at
        while end < len(lines) and lines[end].strip() and (end == at or lines[end][0] != " "):
            end += 1
        text = " ".join(line.strip() for line in lines[at:end])
        literal = text.endswith("::")
        if literal:
            text = text[:-2].rstrip() + ("" if text in ("::",) or text[:-2].endswith(" ") else ":")
        if (field := FIELD.fullmatch(text)) and field["name"].strip():
            text = f"{field['name']}: {field['rest']}"
        self.builder.add("paragraph", plain(text))
        if not literal:
            return end
        after = body_end(lines, end, 1)
        self.builder.add("code", "\n".join(dedented(lines[end:after])).strip("\n"))
        return after


def body_end(lines: Sequence[str], at: int, indent: int) -> int:
    """The line after the last one that is indented so far, blank ones between them included."""
    end = at
    while at < len(lines):
        line = lines[at]
        if line.strip():
            if len(line) - len(line.lstrip()) < indent:
                break
            end = at + 1
        at += 1
    return end


def dedented(lines: Sequence[str]) -> list[str]:
    margin = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return [line[margin:] for line in lines]


def argument_and_content(first: str, body: Sequence[str]) -> tuple[str, list[str]]:
    """What stands beside a directive's name and on the lines at once below it, and what comes after its options."""
    at = 0
    arguments = [first]
    while at < len(body) and body[at].strip() and not OPTION.match(body[at]):
        if not first:
            break
        arguments.append(body[at].strip())
        at += 1
    while at < len(body) and (
        OPTION.match(body[at]) or (body[at][:1] == " " and at and OPTION.match(body[at - 1]))
    ):
        at += 1
    return "\n".join(arguments).strip(), list(body[at:])


def closed(lines: Sequence[str]) -> bool:
    """Whether a simple table has both its borders: three lines of `=`, or two where it has no head."""
    return sum(1 for line in lines if SIMPLE.fullmatch(line.strip())) >= 3


def grid_rows(lines: Sequence[str]) -> Iterator[list[str]]:
    cells: list[list[str]] = []
    for line in lines:
        text = line.strip()
        if text.startswith("+"):
            if cells:
                yield [" ".join(cell) for cell in cells]
            cells = []
        elif text.startswith("|"):
            parts = [part.strip() for part in text.strip("|").split("|")]
            cells = cells if len(cells) >= len(parts) else [*cells, *([] for _ in range(len(parts) - len(cells)))]
            for cell, part in zip(cells, parts, strict=False):
                if part:
                    cell.append(part)
    if cells:
        yield [" ".join(cell) for cell in cells]


def simple_rows(lines: Sequence[str]) -> Iterator[list[str]]:
    margin = len(lines[0]) - len(lines[0].lstrip())
    starts = [margin + match.start() for match in re.finditer(r"=+", lines[0].strip())]
    bounds = [*starts[1:], None]
    row: list[str] = []
    for line in lines[1:]:
        if not line.strip() or re.fullmatch(r"[=\- ]+", line.strip()):
            continue
        cells = [line[start:end].strip() for start, end in zip(starts, bounds, strict=True)]
        if row and not cells[0]:
            row = [" ".join(part for part in pair if part) for pair in zip(row, cells, strict=True)]
            continue
        if row:
            yield row
        row = cells
    if row:
        yield row


def plain(text: str) -> str:
    """Text without the marks of roles, links, emphasis and literals."""
    text = ROLE.sub(lambda match: titled(match["text"]), text)
    text = LITERAL.sub(lambda match: match["text"], text)
    text = LINK.sub(lambda match: match["text"] or match["name"] or match["word"], text)
    text = INTERPRETED.sub(lambda match: titled(match["text"]), text)
    text = EMPHASIS.sub(lambda match: match["text"], text)
    return " ".join(text.replace("\\ ", "").replace("\\", "").split())


def titled(text: str) -> str:
    """The words of a role: its title, or its target without what Sphinx puts before it."""
    match = TITLE_TARGET.fullmatch(text)
    if match and match["title"]:
        return match["title"]
    return text.rpartition(".")[2] if text.startswith("~") else text.lstrip("!")
