"""What every loader makes of a file: its text, and where the structure of that text is.

Character offsets everywhere are into `LoadedDocument.text`, which is stored, so that a citation can be opened
and checked long after the file has gone.
"""

from __future__ import annotations

from msgspec import Struct

from penstock.knowledge.chunking import Block, BlockKind
from penstock.knowledge.filters import Metadata
from penstock.knowledge.loaders.places import Place
from penstock.knowledge.values import Status


class LoadedDocument(Struct, frozen=True, kw_only=True):
    """The text of a file with its blocks in order, and where in the file its parts stand.

    `page_starts` are the characters at which pages start, empty where there are none; `places` say the same of
    pages, slides, sheets and lines in words. `metadata` is what the file says of itself. `status` is `ok`, or
    `ocr` or `partial` with the reason.
    """

    text: str
    title: str = ""
    blocks: tuple[Block, ...] = ()
    page_starts: tuple[int, ...] = ()
    places: tuple[Place, ...] = ()
    metadata: Metadata = {}
    status: Status = "ok"
    reason: str = ""


class ReadRules(Struct, frozen=True):
    """What a loader keeps to that works piece by piece: it ends by the `deadline`, in seconds of `time.monotonic`,
    with what it has. `languages` are what pictures of text are read in, by Tesseract's names; none are those that
    are installed."""

    deadline: float = float("inf")
    languages: tuple[str, ...] = ()


RULES = ReadRules()


class Unloadable(Exception):
    """A file without a text to take in: the status it ends in, and a reason its owner can act on."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class TextBuilder:
    """Puts a document together block by block, with a blank line between blocks."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self.blocks: list[Block] = []

    @property
    def length(self) -> int:
        """Where the next block will start."""
        return self._length + (2 if self._parts else 0)

    def add(self, kind: BlockKind, text: str, level: int = 0, *, tight: bool = False) -> int:
        """Appends a block, nothing for white space; returns where it starts.

        `tight` puts it on the next line, as list items are.
        """
        text = text.rstrip() if kind == "code" else text.strip()
        if not text.strip():
            return self.length
        if self._parts:
            self._append("\n" if tight else "\n\n")
        start = self._length
        self._append(text)
        self.blocks.append(Block(kind, start, self._length, level))
        return start

    def flow(self, text: str) -> int:
        """Appends a paragraph, or goes on with the last one where a page ended within a sentence."""
        text = text.strip()
        last = self.blocks[-1] if self.blocks else None
        if not text[:1].islower() or last is None or last.kind != "paragraph" or self._parts[-1][-1:] in ".!?:":
            return self.add("paragraph", text)
        self._append(" ")
        start = self._length
        self._append(text)
        self.blocks[-1] = Block("paragraph", last.start, self._length)
        return start

    def take(self, loaded: LoadedDocument, levels: int) -> int:
        """Appends a whole document, its headings so many levels further down; returns where it starts."""
        start = self.length
        if not loaded.text:
            return start
        if self._parts:
            self._append("\n\n")
        self._append(loaded.text)
        self.blocks.extend(
            Block(
                block.kind,
                start + block.start,
                start + block.end,
                min(6, block.level + levels) if block.kind == "heading" else 0,
            )
            for block in loaded.blocks
        )
        return start

    def text(self) -> str:
        return "".join(self._parts)

    def title(self) -> str:
        """The first heading of the highest level that there is."""
        headings = [block for block in self.blocks if block.kind == "heading"]
        if not headings:
            return ""
        first = min(headings, key=lambda block: (block.level, block.start))
        return " ".join(self.text()[first.start : first.end].split())

    def _append(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)
