"""Where a passage stands: its address in the console, and the line that names it."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, urlencode


def knowledge_address(knowledge: str) -> str:
    return f"/knowledge/{quote(knowledge, safe='')}"


def address_of(knowledge: str, document_id: str, start: int, end: int) -> str:
    """The page of a document, opened at a range of its text."""
    return f"{knowledge_address(knowledge)}/{quote(document_id, safe='')}?{urlencode({'start': start, 'end': end})}"


def source_line(document: str, heading: Sequence[str], location: str) -> str:
    """`guide.pdf › Install › Linux · page 3`."""
    path = " › ".join(part for part in (document, *heading) if part)
    return f"{path} · {location}" if location else path


def page_label(page: int | None) -> str:
    return f"page {page}" if page else ""


def without_heading(text: str, heading: Sequence[str]) -> str:
    """A passage without the heading that it begins with: its source line names that already."""
    last = heading[-1] if heading else ""
    return text.removeprefix(last).lstrip() or text
