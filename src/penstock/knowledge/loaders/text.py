"""Plain text: decoded, taken as it stands, paragraphs by blank lines, headings by the line under them."""

from __future__ import annotations

import codecs
import re

from charset_normalizer import from_bytes

from penstock.knowledge.chunking import Block
from penstock.knowledge.loaders.base import LoadedDocument, Unloadable
from penstock.knowledge.loaders.places import Place

SAMPLE = 256_000
BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
PARAGRAPH = re.compile(r"\S(?:.|\n(?![^\S\n]*\n))*")
UNDERLINED = re.compile(r"^(?P<title>\S.*)\n(?P<line>([=\-~^\"#*+])\3{2,})[^\S\n]*$", re.MULTILINE)


def load_text(data: bytes) -> LoadedDocument:
    """Raises `Unloadable` for what is not text."""
    return as_text(*decode(data))


def as_text(text: str, reason: str = "") -> LoadedDocument:
    """A text as it stands, `partial` where there is a reason; its lines are its places."""
    blocks = tuple(paragraphs(text))
    title = next((text[block.start : block.end].split("\n")[0] for block in blocks if block.kind == "heading"), "")
    return LoadedDocument(
        text=text,
        title=title,
        blocks=blocks,
        places=(Place(0, "", "line", 1),),
        status="partial" if reason else "ok",
        reason=reason,
    )


def decode(data: bytes, declared: str | None = None) -> tuple[str, str]:
    """Bytes as text with newlines unified, and what got lost on the way ("" for nothing).

    The byte order mark decides, then `declared`, then UTF-8 if it fits, then what the bytes look like.
    """
    for bom, encoding in BOMS:
        if data.startswith(bom):
            return _decoded(data[len(bom) :], encoding)
    if declared:
        try:
            return _unified(data.decode(declared)), ""
        except (LookupError, UnicodeError):
            pass  # many pages declare what they are not
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if text and "\0" not in text[:SAMPLE]:
        return _unified(text), ""
    if not data:
        return "", ""
    return _decoded(data, _detect(data))


def _detect(data: bytes) -> str:
    """The encoding that the bytes look like. Raises `Unloadable` for binary data."""
    sample = data[:SAMPLE]
    zeros = sample.count(0)
    if zeros:
        # ASCII in UTF-16 has a zero in every other byte; anything else with zeros is not text.
        if sample[0::2].count(0) > len(sample) * 0.4 and not sample[1::2].count(0) > len(sample) * 0.05:
            return "utf-16-be"
        if sample[1::2].count(0) > len(sample) * 0.4 and not sample[0::2].count(0) > len(sample) * 0.05:
            return "utf-16-le"
        raise Unloadable("corrupt", "It is not text but binary data. Remove it or give it its right extension.")
    valid = data[: len(data) - len(data) // 1000 - 4].decode("utf-8", "replace")
    if valid.count("\ufffd") <= max(1, len(valid) // 500):
        return "utf-8"  # a few broken bytes in otherwise good UTF-8
    best = from_bytes(sample).best()
    if best is None:
        raise Unloadable("corrupt", "It is not text in any known encoding. Save it as UTF-8.")
    return best.encoding


def _decoded(data: bytes, encoding: str) -> tuple[str, str]:
    text = data.decode(encoding, "replace")
    lost = text.count("\ufffd") - (data.count(b"\xef\xbf\xbd") if encoding == "utf-8" else 0)
    reason = f"{lost} characters could not be read as {encoding}. Save it as UTF-8." if lost > 0 else ""
    return _unified(text), reason


def _unified(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def paragraphs(text: str) -> list[Block]:
    """Blocks between blank lines; a line with a line of `===` or `---` under it is a heading."""
    marks: dict[int, re.Match[str]] = {
        match.start(): match
        for match in UNDERLINED.finditer(text)
        if len(match["line"]) >= min(len(match["title"].rstrip()), 60)
    }
    order: list[str] = []
    blocks = []
    for match in PARAGRAPH.finditer(text):
        start = match.start()
        mark = marks.get(start)
        if mark is not None:
            sign = mark["line"][0]
            if sign not in order:
                order.append(sign)
            blocks.append(Block("heading", start, mark.end("title"), min(order.index(sign) + 1, 6)))
            start = mark.end("title")
        if start < match.end():
            blocks.append(Block("paragraph", start, match.end()))
    return blocks
