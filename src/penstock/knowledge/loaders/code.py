"""Source code as it stands, in blocks that begin at top-level definitions; its lines are its places."""

from __future__ import annotations

import re

from penstock.knowledge.chunking import Block
from penstock.knowledge.loaders.base import LoadedDocument
from penstock.knowledge.loaders.places import Place
from penstock.knowledge.loaders.text import decode

DEFINITION = re.compile(
    r"(?:@|(?:(?:export|default|declare|public|private|protected|internal|static|final|abstract|sealed|open|inline"
    r"|virtual|extern|unsafe|async|pub(?:\([^)]*\))?|override|partial|data|template\s*<[^>\n]*>)\s+)*"
    r"(?:def|class|func|fn|fun|function|procedure|struct|enum|union|trait|impl|interface|type|typedef|namespace|module"
    r"|package|sub|object|record|protocol|extension|actor|message|service|resource|(?:CREATE|create)\s+\w+|macro_rules!"
    r"|defmodule|defn|instance)\b"
    r"|(?:export\s+)?(?:const|let|var)\s+\w+\s*=\s*(?:async\s*)?(?:function\b|\(|\w+\s*=>)"
    r"|[A-Za-z_][\w:<>,&*\s]*?\b\w+\s*\([^;\n]*\)\s*(?:const\s*)?\{?$)"
)
"""What a line at the margin begins with, in the languages of `kinds.CODE`, where something is defined."""
LONGEST = 300
"""Characters of a line that are looked at."""
STATEMENT = re.compile(r"(?:if|for|while|switch|return|else|elif|with|try|catch|except|print|assert|import|from)\b")
ABOVE = re.compile(r"(?:#(?!include|define|if|endif)|//|/\*| ?\*|--|;;|%|@)")
"""A line that belongs to the definition below it: a comment, a decorator."""


def load_code(data: bytes) -> LoadedDocument:
    """Raises `Unloadable` for what is not text."""
    text, reason = decode(data)
    return LoadedDocument(
        text=text,
        blocks=tuple(blocks_of(text)),
        places=(Place(0, "", "line", 1),),
        status="partial" if reason else "ok",
        reason=reason,
    )


def blocks_of(text: str) -> list[Block]:
    """The text from definition to definition, comments and decorators with what they stand above."""
    starts = [0]
    at = above = 0
    attached = False
    for line in text.splitlines(keepends=True):
        if ABOVE.match(line):
            above = above if attached else at
            attached = True
        elif line[:1].strip() and DEFINITION.match(line[:LONGEST]) and not STATEMENT.match(line):
            starts.append(above if attached else at)
            attached = False
        else:
            attached = False
        at += len(line)
    ends = [*starts[1:], len(text)]
    return [
        Block("code", start, end)
        for start, end in zip(starts, ends, strict=True)
        if start < end and not text[start:end].isspace()
    ]
