"""`penstock knowledge show`: one document, how it was read and how it was cut."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.arguments import AsJson, NamedApp, examples
from penstock.cli.knowing import Name
from penstock.cli.output import count, note, say, say_json
from penstock.errors import InvalidRequest, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from penstock.cli.knowing import Desk
    from penstock.knowledge.stores.shown import DocumentPassage
    from penstock.knowledge.values import Document, DocumentRow

EXAMPLES = examples(
    "penstock knowledge show my-docs/ guide/returns.md",
    "penstock knowledge show my-docs/ guide/returns.md --text",
    "penstock knowledge show my-docs/ doc_0197f2… --json",
)
IDENTIFIER = re.compile("doc_[0-9a-f]{32}")
BEGINNING = 160
"""Characters of a passage."""
MOST_GUESSES = 3


def show(
    path: NamedApp,
    document: Annotated[
        str, typer.Argument(metavar="DOCUMENT", help="Its path as `documents` lists it, or its id.")
    ],
    text: Annotated[bool, typer.Option("--text", help="Print only its text, as extracted.")] = False,
    name: Name = "",
    as_json: AsJson = False,
) -> None:
    """Show how a document was read, where it is from, who may find it, and its passages.

    An id also opens a document that has changed or gone since, while a generation with it is kept.
    """
    from penstock.cli.knowing import desk
    from penstock.config import load

    if text and as_json:
        raise InvalidRequest("--text and --json print the same text.", hint="Leave out --text: the JSON has it.")
    with desk(load(path), name) as at:
        found = at.document(id_of(at, document))
        passages = [] if text else at.passages(found.row.id)
    if text:
        say(found.text, end="" if found.text.endswith("\n") else "\n")
    elif as_json:
        say_json({"document": found.row, "text": found.text, "passages": passages})
    else:
        _show(found, passages)


def id_of(at: Desk, document: str) -> str:
    """The document that a path or an id names. Raises `NotFound`, or `InvalidRequest` where several have it."""
    rows = at.documents()
    same = [row for row in rows if row.path == document]
    if len(same) > 1:
        raise InvalidRequest(
            f"{count(len(same), 'document')} are called {document!r}.",
            hint="Give an id: " + ", ".join(f"{row.id} of {row.source}" for row in same) + ".",
        )
    if same:
        return same[0].id
    if IDENTIFIER.fullmatch(document):
        return document
    near = nearest(document, [row.path for row in rows])
    raise NotFound(
        f"There is no document {document!r}.",
        hint=f"Did you mean {' or '.join(near)}?" if near else "`penstock knowledge documents` lists them.",
    )


def nearest(document: str, paths: Sequence[str]) -> list[str]:
    """At most three paths: those that the words given are a part of, then those that are written like them."""
    from difflib import get_close_matches

    wanted = document.casefold()
    folded = {path.casefold(): path for path in paths}
    last = {path.rpartition("/")[2]: whole for path, whole in folded.items()}
    within = [folded[path] for path in folded if wanted in path]
    like = [folded[path] for path in get_close_matches(wanted, folded, MOST_GUESSES)]
    called = [last[each] for each in get_close_matches(wanted.rpartition("/")[2], last, MOST_GUESSES, cutoff=0.7)]
    return list(dict.fromkeys([*within, *like, *called]))[:MOST_GUESSES]


def _show(document: Document, passages: Sequence[DocumentPassage]) -> None:
    from penstock.cli.governing import fact, table

    say((document.row.title or document.row.path, "bold"))
    for name, value in facts(document.row):
        fact(name, value)
    if not passages:
        note("It has no passages: nothing of it is found.")
        return
    rows = [
        (
            str(number),
            each.location or (f"page {each.page}" if each.page else ""),
            " › ".join(each.heading),
            beginning(document.text[each.start : each.end], each.heading),
        )
        for number, each in enumerate(passages, 1)
    ]
    table(("Passage", "Place", "Heading", "First words"), rows, wraps=False)


def facts(row: DocumentRow) -> Iterator[tuple[str, str]]:
    """What is known of a document beside its text; nothing that is empty."""
    yield "id", row.id
    yield "path", row.path
    yield "status", f"{row.status}: {row.reason}" if row.reason else row.status
    if row.parser:
        yield "read by", row.parser.replace("/", " ", 1)
    yield "source", row.source
    if row.url:
        yield "address", row.url
    pages = "" if row.pages is None else f", {count(row.pages, 'page')}"
    yield "size", f"{count(row.size, 'byte')}; {count(row.characters, 'character')} of text{pages}"
    yield "seen in", generations(row)
    for name, value in row.metadata.items():
        yield "metadata", f"{name} = {', '.join(value) if isinstance(value, tuple) else value}"
    yield "readers", ", ".join(row.readers) or "everybody"


def generations(row: DocumentRow) -> str:
    """Which generations have a document, in words."""
    if row.removed_in is None:
        return f"generation {row.added_in} and later"
    last = row.removed_in - 1
    return f"generation {last}" if last == row.added_in else f"generations {row.added_in} to {last}"


def beginning(text: str, heading: Sequence[str]) -> str:
    """The first words of a passage, without the heading that it begins with: that stands beside them."""
    words = " ".join(text.split())
    last = " ".join(heading[-1].split()) if heading else ""
    words = words.removeprefix(last).lstrip() or words
    return words if len(words) <= BEGINNING else f"{words[:BEGINNING]}…"
