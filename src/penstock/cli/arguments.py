"""Arguments that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

AppPath = Annotated[
    Path,
    typer.Argument(
        metavar="PATH", help="A folder, a document, or an app folder; here, if not given.", show_default=False
    ),
]
NamedApp = Annotated[Path, typer.Argument(metavar="PATH", help="A folder, a document, or an app folder.")]
"""The same where other arguments follow, so that it must be given."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for a script.")]
HERE = Path()


def examples(*lines: str) -> str:
    """The end of a command's help. The first character keeps the lines as they are."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
